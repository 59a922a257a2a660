use chappe::Router;
use chappe::router::Type;
use tower::limit::ConcurrencyLimitLayer;

async fn on_order() {}

fn main() {
    let _ = Router::<()>::new().route(Type("order.created"), on_order).layer(ConcurrencyLimitLayer::new(1));
}
