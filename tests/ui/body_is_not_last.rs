use chappe::Router;
use chappe::extract::Attempt;
use chappe::router::Type;

async fn on_order(order: String, attempt: Attempt) {
    println!("{attempt:?}: {order}");
}

fn main() {
    let _ = Router::<()>::new().route(Type("order.created"), on_order);
}
