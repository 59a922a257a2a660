use chappe::Router;
use chappe::router::Type;

struct Order;

async fn on_order(order: Order) {
    drop(order);
}

fn main() {
    let _ = Router::<()>::new().route(Type("order.created"), on_order);
}
