use chappe::router::Type;
use chappe::{Receiver, Router};

async fn on_order() {}

fn serve<R: Receiver>(_: R) {}

fn main() {
    serve(Router::<()>::new().route(Type("order.created"), on_order));
}
