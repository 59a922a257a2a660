//! What becomes of attributes: they arrive as they were, or are refused by name before anything is sent.

use chappe_core::attribute::reserved;
use chappe_core::{Attributes, ErrorKind, Message, Topic, Value};

use crate::case::{Case, Verdict, cases, need};
use crate::harness::Harness;
use crate::rig::{Bench, refusal};

/// How many odd texts one message carries, so that brokers with few attributes are tried as well.
const PER_MESSAGE: usize = 4;

pub(super) fn cases<'a, H: Harness>() -> Vec<Case<'a, Bench<'a, H>>> {
    cases!["queue/attributes":
        no_attributes_arrive_as_none,
        repeated_names_keep_all_their_values_in_order,
        commas_do_not_join_or_split_values,
        names_keep_their_case,
        names_that_differ_in_case_only_stay_apart,
        names_keep_the_order_they_were_written_in,
        names_and_values_may_be_any_language,
        an_empty_value_is_not_a_missing_one,
        null_is_not_empty,
        numbers_keep_every_digit,
        binary_values_keep_every_byte,
        odd_names_arrive_or_are_refused,
        odd_values_arrive_or_are_refused,
        every_ascii_character_may_stand_in_a_value_or_is_refused,
        many_attributes_arrive_or_are_refused,
        a_long_value_arrives_or_is_refused,
        names_without_text_or_with_control_characters_are_invalid,
        reserved_names_are_invalid,
    ]
}

async fn carries<H: Harness>(bench: Bench<'_, H>, sets: Vec<Attributes>) -> Verdict {
    let rig = bench.open().await?;
    for attributes in sets {
        let mut message = Message::new("body");
        *message.attributes_mut() = attributes;
        rig.round_trip(message).await?;
    }
    Ok(())
}

/// C1 of go-msg: what was not set is not there.
async fn no_attributes_arrive_as_none<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(bench, vec![Attributes::new()]).await
}

/// go-msg joins several values of a name with commas and cannot take them apart again.
async fn repeated_names_keep_all_their_values_in_order<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(bench, vec![Attributes::from([("tag", "b"), ("other", "x"), ("tag", "a"), ("tag", "b")])]).await
}

async fn commas_do_not_join_or_split_values<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(bench, vec![Attributes::from([("list", "a,b, c"), ("end", ",")])]).await
}

/// P4 of go-msg-pubsub, whose canonical keys lose the case other systems wrote.
async fn names_keep_their_case<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(bench, vec![Attributes::from([("mIxEd", "a"), ("UPPER", "b"), ("lower", "c")])]).await
}

async fn names_that_differ_in_case_only_stay_apart<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(bench, vec![Attributes::from([("type", "a"), ("Type", "b")])]).await
}

/// Brokers with maps of attributes lose this and are exempted by name.
async fn names_keep_the_order_they_were_written_in<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    let mut message = Message::new("body");
    *message.attributes_mut() = Attributes::from([("z", "1"), ("a", "2"), ("m", "3"), ("b", "4")]);

    rig.publish(message.clone()).await;
    let delivery = rig.tap().await?.one().await;

    assert_eq!(delivery.message.attributes(), message.attributes());
    Ok(())
}

async fn names_and_values_may_be_any_language<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(
        bench,
        vec![
            Attributes::from([("größe", "über"), ("имя", "значение")]),
            Attributes::from([("名前", "値段"), ("🛰", "👩‍🚀🚀")]),
            Attributes::from([("rtl", "שלום"), ("composed", "e\u{301}é")]),
        ],
    )
    .await
}

async fn an_empty_value_is_not_a_missing_one<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(bench, vec![Attributes::from([("empty", ""), ("full", "x")])]).await
}

async fn null_is_not_empty<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(bench, vec![Attributes::from([("null", Value::Null), ("empty", Value::from(""))])]).await
}

async fn numbers_keep_every_digit<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let number = |digits: &'static str| Value::Number(digits.into());
    carries(
        bench,
        vec![
            Attributes::from([("zero", number("0")), ("minus", number("-17")), ("padded", number("1.50"))]),
            Attributes::from([("large", Value::from(u64::MAX)), ("precise", number("0.1234567890123456789"))]),
        ],
    )
    .await
}

/// Defect 22 of go-aws-msg: a binary value is a nil pointer there.
async fn binary_values_keep_every_byte<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    carries(bench, vec![Attributes::from([("all", Value::from(all)), ("none", Value::from(Vec::new()))])]).await
}

/// Names like gocloud's driver test tries: paths, quotes, spaces, digits, dots.
async fn odd_names_arrive_or_are_refused<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let names = odd_texts();
    let sets = names.chunks(PER_MESSAGE).map(|names| names.iter().map(|name| (name.clone(), "value")).collect());
    carries(bench, sets.collect()).await
}

async fn odd_values_arrive_or_are_refused<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let values = odd_texts();
    let name = |at: usize| format!("name{at}");
    let sets = values.chunks(PER_MESSAGE).map(|values| {
        values.iter().enumerate().map(|(at, value)| (name(at), Value::from(value.clone()))).collect::<Attributes>()
    });
    carries(bench, sets.collect()).await
}

async fn every_ascii_character_may_stand_in_a_value_or_is_refused<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let block = |start: u8| (start..start + 16).map(char::from).collect::<String>();
    let sets = (0..8).map(|at| Attributes::from([("block", block(at * 16))]));
    carries(bench, sets.collect()).await
}

async fn many_attributes_arrive_or_are_refused<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let many = |count: usize| (0..count).map(|at| (format!("name{at}"), at.to_string())).collect::<Attributes>();
    carries(bench, vec![many(10), many(11), many(60)]).await
}

async fn a_long_value_arrives_or_is_refused<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    carries(
        bench,
        vec![Attributes::from([("long", "x".repeat(1024))]), Attributes::from([("longer", "x".repeat(5000))])],
    )
    .await
}

/// No broker carries them all, so none takes any: what one system sends, every other can relay.
async fn names_without_text_or_with_control_characters_are_invalid<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    for name in ["", "a\0b", "line\nbreak", "bell\u{7}", "\u{7f}", "next\u{85}line"] {
        let mut message = Message::new("body");
        message.attributes_mut().append(name, "value");

        let error = refusal(rig.topic().publish(message).await);

        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}: {error:?}");
    }
    rig.tap().await?.silent().await;
    Ok(())
}

async fn reserved_names_are_invalid<H: Harness>(bench: Bench<'_, H>) -> Verdict {
    let rig = bench.open().await?;
    need(!reserved::ALL.is_empty(), "no name is reserved")?;
    for name in reserved::ALL {
        let mut message = Message::new("body");
        message.attributes_mut().append(name, "value");

        let error = refusal(rig.topic().publish(message).await);

        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}: {error:?}");
        assert!(error.to_string().contains(name), "the error does not name {name:?}: {error}");
    }
    rig.tap().await?.silent().await;
    Ok(())
}

fn odd_texts() -> Vec<String> {
    let texts = [
        "a/b/c",
        "a//b///c",
        "../up/../over",
        "/",
        "back\\slash",
        "two\\\\slashes",
        "'single' and \"double\"",
        "with space",
        " leading and trailing ",
        "12345",
        "-1",
        "dot.ted",
        ".hidden",
        "trailing.",
        "AWS.like",
        "google",
        "semi;colon:colon",
        "percent%20sign%",
        "question?mark=1&two",
        "hash#at@bang!",
        "{\"json\":[1,2]}",
        "<xml attr='1'/>",
        "$dollar ${brace}",
        "star*caret^tilde~",
        "`tick` |pipe|",
        "😀😃😄",
        "null",
        "true",
    ];
    texts.map(str::to_owned).to_vec()
}
