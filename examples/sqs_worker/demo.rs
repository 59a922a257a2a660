//! The worker beside an emulator: makes what it needs, places a few orders, and looks at what comes out.

use std::future::IntoFuture;
use std::time::Duration;

use chappe::backend::DeadLetter;
use chappe::sns::SnsPublisher;
use chappe::sns::admin::{Subscription, clients_from_env, ensure_topic, subscribe};
use chappe::sqs::SqsQueue;
use chappe::sqs::admin::{QueueSpec, ensure_queue};
use chappe::{BoxError, Message, Server, Topic};
use tokio::sync::mpsc;
use tower::service_fn;

use super::{Order, Parcel, worker};

const ORDERS: u32 = 20;

pub(super) async fn run() -> Result<(), BoxError> {
    let (sns, sqs) = clients_from_env().await;
    let orders = ensure_queue(&sqs, &QueueSpec::new("orders")).await?;
    let parcels = ensure_queue(&sqs, &QueueSpec::new("parcels")).await?;
    let dead = ensure_queue(&sqs, &QueueSpec::new("orders-dead")).await?;
    let topic = ensure_topic(&sns, "order-events").await?;
    let filter = serde_json::json!({ "type": [{ "prefix": "order." }] });
    subscribe(&sns, &sqs, &topic, &orders, &Subscription::new().filter(filter)).await?;

    // A shutdown waits for the poll that runs.
    let queue = |url: &str| SqsQueue::new(&sqs, url).wait(Duration::from_secs(1));
    let (done, mut outcomes) = mpsc::channel(16);
    let worker = worker(queue(&orders), &queue(&parcels), &dead);
    let packed = Server::new(queue(&parcels)).serve(telling(done.clone(), |message| {
        let parcel: Parcel = serde_json::from_slice(message.body())?;
        Ok(format!("parcel of order {} is out", parcel.order))
    }));
    let buried = Server::new(queue(&dead)).serve(telling(done, |message| {
        let letter = message.extensions().get::<DeadLetter>().ok_or("there is no reason")?;
        Ok(format!("dead letter {:?}: {}", message.body(), letter.reason))
    }));
    let handles = [worker.handle(), packed.handle(), buried.handle()];
    let worker = tokio::spawn(worker.into_future());
    let others = [tokio::spawn(packed.into_future()), tokio::spawn(buried.into_future())];

    place_orders(&SnsPublisher::new(&sns, topic)).await?;
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

/// One is of nothing, one is no order at all, and one is of another kind, which the filter keeps away.
async fn place_orders(publisher: &SnsPublisher) -> Result<(), BoxError> {
    let mut messages = vec![event("order.placed", b"not an order"), event("stock.low", b"{}")];
    for id in 1..ORDERS {
        let order = Order { id, pieces: u32::from(id != 13) };
        messages.push(event("order.placed", &serde_json::to_vec(&order)?));
    }
    for result in publisher.topic().publish_all(messages).await {
        result?;
    }
    Ok(())
}

fn event(kind: &'static str, body: &[u8]) -> Message {
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
