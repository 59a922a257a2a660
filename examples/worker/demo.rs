//! The worker at its work: a few orders are placed, and what comes out is looked at.

use std::future::IntoFuture;

use chappe::backend::{DeadLetter, Queue};
use chappe::{BoxError, BoxTopic, Message, Server, Topic};
use tokio::sync::mpsc;
use tower::service_fn;

use super::{Order, Parcel, worker};

const ORDERS: u32 = 20;

/// Queues of a broker with nothing in them.
pub(crate) struct Demo<Q> {
    pub(crate) orders: Q,
    pub(crate) parcels: Q,
    /// Where the dead letters of `orders` go.
    pub(crate) dead: Q,
    pub(crate) to_orders: BoxTopic,
    pub(crate) to_parcels: BoxTopic,
}

impl<Q: Queue> Demo<Q> {
    pub(crate) async fn run(self) -> Result<(), BoxError> {
        let (done, mut outcomes) = mpsc::channel(16);
        let worker = worker(self.orders, self.to_parcels);
        let packed = Server::new(self.parcels).serve(telling(done.clone(), |message| {
            let parcel: Parcel = serde_json::from_slice(message.body())?;
            Ok(format!("parcel of order {} is out", parcel.order))
        }));
        let buried = Server::new(self.dead).serve(telling(done, |message| {
            let letter = message.extensions().get::<DeadLetter>().ok_or("there is no reason")?;
            Ok(format!("dead letter {:?}: {}", message.body(), letter.reason))
        }));
        let handles = [worker.handle(), packed.handle(), buried.handle()];
        let worker = tokio::spawn(worker.into_future());
        let others = [tokio::spawn(packed.into_future()), tokio::spawn(buried.into_future())];

        place_orders(self.to_orders).await?;
        for _ in 0..ORDERS {
            println!("{}", outcomes.recv().await.ok_or("a server has ended")?);
        }

        handles.iter().for_each(chappe::server::Handle::shutdown);
        println!("{}", worker.await??);
        for other in others {
            other.await??;
        }
        Ok(())
    }
}

/// One is of nothing, and one is no order at all.
async fn place_orders(topic: BoxTopic) -> Result<(), BoxError> {
    let mut messages = vec![event("order.placed", b"not an order")];
    for id in 1..ORDERS {
        let order = Order { id, pieces: u32::from(id != 13) };
        messages.push(event("order.placed", &serde_json::to_vec(&order)?));
    }
    for result in topic.publish_all(messages).await {
        result?;
    }
    Ok(())
}

pub(crate) fn event(kind: &'static str, body: &[u8]) -> Message {
    let mut message = Message::new(body.to_vec());
    message.attributes_mut().insert("type", kind);
    message
}

/// A receiver that tells what it got.
fn telling(done: mpsc::Sender<String>, tell: fn(&Message) -> Result<String, BoxError>) -> impl chappe::Receiver {
    service_fn(move |message: Message| {
        let done = done.clone();
        async move {
            done.send(tell(&message)?).await?;
            Ok::<_, BoxError>(())
        }
    })
}
