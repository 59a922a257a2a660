use std::io::Write;

use chappe::{BoxError, Topic};

async fn publish(topic: impl Topic) -> Result<(), BoxError> {
    let mut writer = topic.writer();
    writer.close().await?;
    writer.write_all(b"more")?;
    Ok(())
}

fn main() {}
