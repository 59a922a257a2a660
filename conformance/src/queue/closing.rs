//! How a handle ends.

use chappe_core::backend::Queue;

use crate::case::{Case, Verdict, cases};
use crate::harness::Harness;
use crate::rig::{Bench, numbered};

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/closing":
        closing_twice_is_closing_once,
        closing_one_handle_leaves_the_others_open,
        closing_keeps_what_is_in_the_queue,
    ]
}

async fn closing_twice_is_closing_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let queue = rig.another_queue().await?;
    let tap = rig.tap_into(&queue).await?;
    tap.stop().await;

    queue.close().await?;
    queue.close().await?;

    Ok(())
}

async fn closing_one_handle_leaves_the_others_open<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let closing = rig.another_queue().await?;
    rig.tap_into(&closing).await?.stop().await;

    closing.close().await?;
    rig.publish("x").await;

    let delivery = rig.tap().await?.one().await;
    rig.ack(&delivery).await;
    Ok(())
}

async fn closing_keeps_what_is_in_the_queue<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish_all(numbered(0..10)).await;
    let first = rig.another_queue().await?;
    let mut tap = rig.tap_into(&first).await?;
    let some = tap.take(4).await;
    rig.ack_all_through(&first, &some).await;
    tap.stop().await;

    first.close().await?;

    let second = rig.another_queue().await?;
    rig.tap_into(&second).await?.take(6).await;
    Ok(())
}
