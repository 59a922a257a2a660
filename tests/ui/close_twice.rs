use chappe::{BoxError, Topic};

async fn publish(topic: impl Topic) -> Result<(), BoxError> {
    let writer = topic.writer();
    writer.close().await?;
    writer.close().await?;
    Ok(())
}

fn main() {}
