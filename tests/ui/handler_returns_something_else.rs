use chappe::Router;
use chappe::router::Type;

async fn on_order(order: String) -> usize {
    order.len()
}

fn main() {
    let _ = Router::<()>::new().route(Type("order.created"), on_order);
}
