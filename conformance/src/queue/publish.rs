//! What becomes of what is published: bodies of any bytes, batches with a result for each, writers.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use chappe_core::backend::{Outgoing, PublishResult, Publisher};
use chappe_core::{ErrorKind, Message, Topic};
use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::case::{Case, Verdict, cases, need};
use crate::harness::Harness;
use crate::rig::{Bench, number_of, numbered, refusal};

/// The largest body the suite sends, in bytes; a declared limit above it is not tried.
const LARGEST_TRIED: usize = 64 << 20;

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/publish":
        an_empty_body_is_a_message,
        a_body_of_nothing_but_nuls_arrives,
        every_byte_value_arrives,
        a_body_that_is_not_utf_8_arrives,
        a_body_that_looks_encoded_is_not_decoded,
        a_body_at_the_limit_arrives,
        a_body_over_the_limit_is_too_large_before_it_is_sent,
        a_message_that_does_not_fit_does_not_keep_its_neighbours,
        a_full_batch_has_a_result_for_each,
        the_receipt_has_the_id_the_message_arrives_with,
        an_id_published_twice_is_stored_once,
        concurrent_publishers_lose_nothing,
        a_dropped_publish_leaves_the_topic_usable,
        a_writer_joins_its_writes_into_one_message,
        a_writer_that_is_dropped_publishes_nothing,
    ]
}

async fn carries<H: Harness>(bench: Bench<'_, H>, bodies: Vec<Vec<u8>>) -> Verdict {
    let rig = bench.open().await?;
    for body in bodies {
        rig.round_trip(Message::new(body)).await?;
    }
    Ok(())
}

/// Defect 29 of go-msg: four backends treat it in four ways.
async fn an_empty_body_is_a_message<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    rig.publish("").await;
    let delivery = rig.tap().await?.one().await;

    assert!(delivery.message.body().is_empty());
    Ok(())
}

async fn a_body_of_nothing_but_nuls_arrives<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(bench, vec![vec![0], vec![0; 1000]]).await
}

async fn every_byte_value_arrives<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(bench, vec![(0..=u8::MAX).collect(), (0..=u8::MAX).rev().collect()]).await
}

/// Text-only brokers replace or refuse these: lone continuation and surrogate bytes, and U+FFFE.
async fn a_body_that_is_not_utf_8_arrives<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(bench, vec![vec![0x80], vec![0xff, 0xfe], vec![0xed, 0xa0, 0x80], "a\u{fffe}b\u{1}".into()]).await
}

/// A28 of the cloud list: what looks like base64 or an envelope was written by somebody who meant it.
async fn a_body_that_looks_encoded_is_not_decoded<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let envelope = r#"{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:x:1:t","Message":"inner"}"#;
    let event = r#"{"specversion":"1.0","id":"1","source":"/x","type":"t","data_base64":"AA=="}"#;
    carries(bench, vec![b"aGVsbG8=".to_vec(), envelope.into(), event.into(), b"\x04\x22\x4d\x18".to_vec()]).await
}

async fn a_body_at_the_limit_arrives<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let limit = rig.publish.max_message_bytes;
    need(limit <= LARGEST_TRIED, "no limit small enough to be tried")?;
    let body: Vec<u8> = (0..limit).map(|at| b'a' + (at % 26) as u8).collect();

    rig.publish(body.clone()).await;
    let delivery = rig.tap().await?.one().await;

    // Not `assert_eq`, which would print both.
    assert!(delivery.message.body() == &body, "the body has changed");
    Ok(())
}

async fn a_body_over_the_limit_is_too_large_before_it_is_sent<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let limit = rig.publish.max_message_bytes;
    need(limit <= LARGEST_TRIED, "no limit small enough to be tried")?;

    let error = refusal(rig.topic().publish(vec![b'a'; limit + 1]).await);

    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    assert!(!error.is_ambiguous() && !error.is_retryable(), "{error:?}");
    rig.tap().await?.silent().await;
    Ok(())
}

/// G2 and A21: one entry's failure is its own.
async fn a_message_that_does_not_fit_does_not_keep_its_neighbours<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let mut messages = numbered(0..9);
    messages[4].attributes_mut().append("no\0name", "x");

    let results = rig.topic().publish_all(messages).await;
    let mut arrived: Vec<_> =
        rig.tap().await?.take(8).await.iter().map(|delivery| number_of(&delivery.message)).collect();
    arrived.sort_unstable();

    for (at, result) in results.into_iter().enumerate() {
        match (at, result) {
            (4, result) => assert_eq!(refusal(result).kind(), ErrorKind::Invalid),
            (_, result) => assert!(result.is_ok(), "neighbour {at}: {result:?}"),
        }
    }
    assert_eq!(arrived, [0, 1, 2, 3, 5, 6, 7, 8]);
    Ok(())
}

async fn a_full_batch_has_a_result_for_each<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let count = rig.publish.max_batch.clamp(1, 1000);
    let mut batch: Vec<_> = numbered(0..count).into_iter().map(Outgoing::new).collect();

    rig.publisher().publish(&mut batch).await?;
    let mut ids = HashSet::new();
    for outgoing in &batch {
        let PublishResult::Accepted(receipt) = &outgoing.result else {
            panic!("an entry of a batch came to {:?}", outgoing.result);
        };
        assert!(receipt.id.as_ref().is_none_or(|id| ids.insert(id.clone())), "two entries have the same id");
    }
    let mut arrived: Vec<_> =
        rig.tap().await?.take(count).await.iter().map(|delivery| number_of(&delivery.message)).collect();
    arrived.sort_unstable();

    assert_eq!(arrived, (0..count).collect::<Vec<_>>());
    Ok(())
}

async fn the_receipt_has_the_id_the_message_arrives_with<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let receipt = rig.publish("x").await;
    let Some(id) = receipt.id else { return need(false, "the broker tells publishers no id") };

    let delivery = rig.tap().await?.one().await;

    assert_eq!(delivery.message.id(), Some(&id));
    Ok(())
}

/// Row 13 of the broker list: what a publisher repeats after a lost confirmation.
async fn an_id_published_twice_is_stored_once<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    need(rig.publish.dedup, "the broker does not recognise duplicates")?;
    let mut message = Message::new("once");
    message.set_id(rig.setup.name.clone());

    rig.publish(message.clone()).await;
    let again = rig.publish(message).await;
    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;
    rig.ack(&delivery).await;

    assert!(again.duplicate, "the receipt of the second does not say that it is a duplicate");
    tap.silent().await;
    Ok(())
}

/// Watermill's concurrent publishers: 50 of them.
async fn concurrent_publishers_lose_nothing<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let each = (bench.volume() / 100).max(1);

    join_all((0..50).map(|at| rig.publish_all(numbered(at * each..(at + 1) * each)))).await;
    let deliveries = rig.tap().await?.take(50 * each).await;
    let arrived: HashSet<_> = deliveries.iter().map(|delivery| number_of(&delivery.message)).collect();

    assert_eq!(arrived.len(), 50 * each);
    Ok(())
}

/// Row 22 of the broker list: a cancelled call never corrupts the connection.
async fn a_dropped_publish_leaves_the_topic_usable<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let topic = rig.topic();
    for number in 0..20 {
        let mut publishing = Box::pin(topic.publish(number.to_string()));
        // Polled once and dropped: on a network that is somewhere between queued and sent.
        let _ = publishing.as_mut().now_or_never();
        drop(publishing);
        tokio::time::sleep(Duration::from_micros(100)).await;
    }

    rig.publish_all(numbered(100..110)).await;
    let mut tap = rig.tap().await?;
    let mut arrived = Vec::new();
    while arrived.iter().filter(|&&number| number >= 100).count() < 10 {
        arrived.push(number_of(&tap.one().await.message));
    }

    arrived.sort_unstable();
    let before = arrived.len();
    arrived.dedup();
    assert_eq!(arrived.len(), before, "a message came twice");
    Ok(())
}

/// M5 and M6 of go-msg.
async fn a_writer_joins_its_writes_into_one_message<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let mut writer = rig.topic().writer();
    writer.attributes_mut().insert("type", "greeting");
    for part in ["hello", ", ", "world"] {
        writer.write_all(part.as_bytes()).expect("writing to memory does not fail");
    }
    writer.close().await?;

    let mut tap = rig.tap().await?;
    let delivery = tap.one().await;

    assert_eq!(delivery.message.body(), "hello, world");
    assert_eq!(delivery.message.attributes().get_str("type"), Some("greeting"));
    rig.ack(&delivery).await;
    tap.silent().await;
    Ok(())
}

async fn a_writer_that_is_dropped_publishes_nothing<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let mut writer = rig.topic().writer();
    writer.write_all(b"never").expect("writing to memory does not fail");
    writer.abort();

    rig.tap().await?.silent().await;
    Ok(())
}
