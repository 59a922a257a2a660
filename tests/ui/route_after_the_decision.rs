use chappe::Router;
use chappe::router::Type;

async fn on_order() {}

fn main() {
    let _ = Router::<()>::new().or_reject().route(Type("order.created"), on_order);
}
