use chappe::extract::{FromMessageParts, State};

fn check<T: FromMessageParts<S>, S>() {}

struct App;

#[derive(Clone)]
struct Db;

fn main() {
    check::<State<Db>, App>();
}
