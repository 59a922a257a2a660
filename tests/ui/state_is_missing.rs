use chappe::extract::State;
use chappe::router::Type;
use chappe::{Receiver, Router};

#[derive(Clone)]
struct Db;

async fn on_order(State(_): State<Db>) {}

fn serve<R: Receiver>(_: R) {}

fn main() {
    serve(Router::<Db>::new().route(Type("order.created"), on_order).or_reject());
}
