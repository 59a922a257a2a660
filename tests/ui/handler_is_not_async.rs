use chappe::Router;
use chappe::router::Type;

fn on_order(order: String) {
    drop(order);
}

fn main() {
    let _ = Router::<()>::new().route(Type("order.created"), on_order);
}
