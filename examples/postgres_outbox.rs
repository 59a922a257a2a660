//! Orders are written to a table and published in one transaction, and a worker ships them, each in one transaction
//! of its own: what is in the tables and what was handled never differ, whatever crashes.
//!
//! ```sh
//! cargo xtask services postgres -- cargo run --example postgres_outbox --features postgres
//! ```
//!
//! runs it beside a server; otherwise `DATABASE_URL` names one.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::env;
use std::sync::Arc;
use std::time::Duration;

use chappe::extract::{Attempt, Extension, State};
use chappe::postgres::{PgLease, PgPublisher, PgQueue, PgStore};
use chappe::{BoxError, Json, Message, Router, Server};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore};
use tokio_postgres::{Client, NoTls};

const ORDERS: u32 = 12;

#[derive(Deserialize, Serialize)]
struct Order {
    id: i64,
    pieces: u32,
}

#[derive(Clone)]
struct Warehouse {
    // A pool, in a larger program.
    client: Arc<Mutex<Client>>,
    shipped: Arc<Semaphore>,
}

/// Writes the order and publishes it, both or neither.
async fn place(client: &mut Client, orders: &PgPublisher, pieces: u32) -> Result<i64, BoxError> {
    let transaction = client.transaction().await?;
    let insert = "INSERT INTO shop_order (pieces) VALUES ($1) RETURNING id";
    let id = transaction.query_one(insert, &[&i64::from(pieces)]).await?.get(0);
    let mut message = Message::new(serde_json::to_vec(&Order { id, pieces })?);
    message.set_id(format!("order-{id}"));
    orders.enqueue_in(&transaction, message).await?;
    if pieces == 0 {
        transaction.rollback().await?;
        return Err("an order of nothing".into());
    }
    transaction.commit().await?;
    orders.wake();
    Ok(id)
}

/// Ships the order and acknowledges the message, both or neither.
async fn ship(
    State(Warehouse { client, shipped }): State<Warehouse>,
    Extension(lease): Extension<PgLease>,
    Attempt(attempt): Attempt,
    Json(order): Json<Order>,
) -> Result<(), BoxError> {
    let mut client = client.lock().await;
    let transaction = client.transaction().await?;
    transaction.execute("INSERT INTO shop_parcel (id) VALUES ($1)", &[&order.id]).await?;
    if order.id % 4 == 0 && attempt == 1 {
        return Err("the printer is out of paper".into()); // rolled back, and tried again after a pause
    }
    lease.ack_in(&transaction).await?;
    transaction.commit().await?;
    println!("order {}, attempt {attempt}: {} pieces shipped", order.id, order.pieces);
    shipped.add_permits(1);
    Ok(())
}

async fn connect(url: &str) -> Result<Client, BoxError> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = env::var("DATABASE_URL").or_else(|_| env::var("CHAPPE_TEST_POSTGRES"));
    let url = url.map_err(|_| "set DATABASE_URL to a database, like postgres://user:password@localhost/shop")?;
    let store = PgStore::from_url(&url)?;
    store.migrate().await?;
    let mut client = connect(&url).await?;
    client
        .batch_execute(
            "DROP TABLE IF EXISTS shop_order, shop_parcel;
            CREATE TABLE shop_order (id bigint GENERATED ALWAYS AS IDENTITY, pieces bigint NOT NULL);
            CREATE TABLE shop_parcel (id bigint PRIMARY KEY)",
        )
        .await?;
    let queue = PgQueue::new(&store, "shop-orders");
    queue.purge().await?;
    client.execute("DELETE FROM chappe.dedup WHERE queue = 'shop-orders'", &[]).await?;

    let shipped = Arc::new(Semaphore::new(0));
    let warehouse = Warehouse { client: Arc::new(Mutex::new(connect(&url).await?)), shipped: Arc::clone(&shipped) };
    let orders = queue.publisher();
    for pieces in 0..=ORDERS {
        if let Err(error) = place(&mut client, &orders, pieces).await {
            println!("not placed: {error}");
        }
    }
    let app = Router::new().fallback(ship).with_state(warehouse);
    let all = async move { drop(shipped.acquire_many(ORDERS).await) };
    let grace = Duration::from_secs(10);
    let report = Server::new(queue).concurrency(4).grace(grace).serve(app).with_graceful_shutdown(all).await?;

    let row =
        client.query_one("SELECT (SELECT count(*) FROM shop_order), (SELECT count(*) FROM shop_parcel)", &[]).await?;
    println!("{} orders, {} parcels", row.get::<_, i64>(0), row.get::<_, i64>(1));
    println!("{report}");
    Ok(())
}
