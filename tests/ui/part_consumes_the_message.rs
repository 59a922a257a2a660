use chappe::extract::FromMessageParts;

fn check<T: FromMessageParts<()>>() {}

fn main() {
    check::<chappe::Json<String>>();
}
