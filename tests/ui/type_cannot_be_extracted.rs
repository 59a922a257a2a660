use chappe::extract::FromMessage;

fn check<T: FromMessage<()>>() {}

struct Order;

fn main() {
    check::<Order>();
}
