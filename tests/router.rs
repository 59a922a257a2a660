//! Which route takes a message, and what becomes of one that none takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use chappe::extract::State;
use chappe::router::{Attr, Decided, Predicate, Router, Source, Type, Unroutable, when};
use chappe::{BoxError, Message, Outcome, Receiver, Value};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

/// A handler that says which one it is.
fn says(name: &'static str) -> impl Fn() -> std::future::Ready<Outcome> + Clone + Send + Sync + 'static {
    move || std::future::ready(Outcome::reject(name))
}

fn message(attributes: &[(&'static str, &'static str)], source: Option<&str>) -> Message {
    let mut message = Message::new("body");
    for (name, value) in attributes {
        message.attributes_mut().append(*name, *value);
    }
    if let Some(source) = source {
        message.set_source(source);
    }
    message
}

fn typed(kind: &'static str) -> Message {
    message(&[("type", kind)], None)
}

/// The name of the handler that took the message.
async fn taken(router: impl Receiver<Response = Outcome, Error = BoxError>, message: Message) -> String {
    match router.oneshot(message).await {
        Ok(Outcome::Reject(name)) => name.to_string(),
        other => panic!("no handler took it: {other:?}"),
    }
}

/// What a router with one route for `predicate` says of the message.
async fn matches(predicate: impl Into<Predicate>, message: Message) -> bool {
    let router = Router::<()>::new().route(predicate, says("yes")).fallback(says("no"));
    taken(router, message).await == "yes"
}

/// Counts the calls that pass it.
fn counting(calls: &Arc<AtomicUsize>) -> impl Layer<chappe::handler::Route, Service: Receiver + Sync> + Clone + use<> {
    let calls = Arc::clone(calls);
    tower::util::MapRequestLayer::new(move |message: Message| {
        calls.fetch_add(1, Ordering::Relaxed);
        message
    })
}

#[tokio::test]
async fn each_predicate_is_true_of_its_messages_alone() {
    let order = || message(&[("type", "order.created"), ("n", "1")], Some("orders-eu"));

    assert!(matches(Attr("type").eq("order.created"), order()).await);
    assert!(!matches(Attr("type").eq("order"), order()).await);
    assert!(matches(Attr("TYPE").prefix("order."), order()).await);
    assert!(!matches(Attr("type").prefix("user."), order()).await);
    assert!(matches(Attr("n").one_of(["0", "1"]), order()).await);
    assert!(!matches(Attr("n").one_of(["0", "2"]), order()).await);
    assert!(matches(Attr("n").exists(), order()).await);
    assert!(!matches(Attr("m").exists(), order()).await);
    assert!(matches(Source::eq("orders-eu"), order()).await);
    assert!(!matches(Source::eq("orders"), order()).await);
    assert!(matches(Source::prefix("orders"), order()).await);
    assert!(!matches(Source::one_of(["a", "b"]), order()).await);
    assert!(!matches(Source::prefix(""), message(&[], None)).await);
    assert!(matches(when(|message| message.body().len() == 4), order()).await);
    assert!(!matches(when(|message| message.body().is_empty()), order()).await);
}

#[tokio::test]
async fn predicates_are_combined() {
    let order = || message(&[("type", "order.created")], Some("orders"));
    let (yes, no) = (|| Type::eq("order.created"), || Source::eq("users"));

    assert!(matches(yes().and(yes()), order()).await);
    assert!(!matches(yes().and(no()), order()).await);
    assert!(matches(no().or(yes()), order()).await);
    assert!(!matches(no().or(no()), order()).await);
    assert!(matches(!no(), order()).await);
    assert!(matches(yes().and(!no()).and(Predicate::any()), order()).await);
    assert!(matches(Predicate::any(), message(&[], None)).await);
}

#[tokio::test]
async fn a_type_is_found_under_every_name_it_goes_by() {
    for name in ["type", "ce-type", "ce_type", "cloudEvents:type", "Ce-Type"] {
        assert!(matches(Type("order.created"), message(&[(name, "order.created")], None)).await, "{name}");
    }
    assert!(!matches(Type("order.created"), message(&[("kind", "order.created")], None)).await);
}

#[tokio::test]
async fn an_attribute_without_text_exists_but_equals_nothing() {
    let mut message = Message::new("");
    message.attributes_mut().insert("flag", Value::Null);

    assert!(matches(Attr("flag").exists(), message.clone()).await);
    assert!(!matches(Attr("flag").prefix(""), message).await);
}

#[tokio::test]
async fn the_first_route_that_fits_takes_the_message() {
    let router = Router::<()>::new()
        .route(Type("order.created"), says("created"))
        .route(Type::prefix("order."), says("order"))
        .route(Attr("type").exists(), says("any"))
        .route(Source::eq("jobs"), says("jobs"))
        .or_reject();

    assert_eq!(taken(router.clone(), typed("order.created")).await, "created");
    assert_eq!(taken(router.clone(), typed("order.paid")).await, "order");
    assert_eq!(taken(router.clone(), typed("user.created")).await, "any");
    assert_eq!(taken(router, message(&[], Some("jobs"))).await, "jobs");
}

#[tokio::test]
async fn a_run_of_equal_tests_does_not_overtake_a_route_between() {
    let router = Router::<()>::new()
        .route(Type("a"), says("a"))
        .route(Attr("urgent").exists(), says("urgent"))
        .route(Type("b"), says("b"))
        .route(Type::prefix("x."), says("x"))
        .route(Type::one_of(["d", "c"]), says("c or d"))
        .or_reject();

    assert_eq!(taken(router.clone(), message(&[("type", "a"), ("urgent", "1")], None)).await, "a");
    assert_eq!(taken(router.clone(), message(&[("type", "b"), ("urgent", "1")], None)).await, "urgent");
    for (kind, name) in [("b", "b"), ("x.y", "x"), ("c", "c or d"), ("d", "c or d")] {
        assert_eq!(taken(router.clone(), typed(kind)).await, name);
    }
}

#[test]
#[should_panic(expected = "two routes for type = \"order.created\": remove one of them")]
fn two_equal_routes_are_refused_by_name() {
    let _ = Router::<()>::new().route(Type("order.created"), says("a")).route(Type::eq("order.created"), says("b"));
}

#[test]
fn a_route_that_could_not_be_reached_is_refused() {
    let hidden: [(Predicate, Predicate); 9] = [
        (Type::prefix("order."), Type::eq("order.created")),
        (Type::prefix("order."), Type::prefix("order.eu.")),
        (Type::one_of(["a", "b"]), Type::one_of(["b", "c"])),
        (Type::eq("a"), Attr("type").eq("a")),
        (Attr("n").exists(), Attr("n").eq("1")),
        (Source::eq("jobs"), Source::eq("jobs").and(Type::eq("a"))),
        (Type::eq("a").or(Source::eq("jobs")), Source::eq("jobs")),
        (Predicate::any(), when(|_| true)),
        (!Type::eq("a"), !Type::eq("a")),
    ];

    for (first, second) in hidden {
        let router = Router::<()>::new().route(first.clone(), says("first"));
        let conflict = router.try_route(second.clone(), says("second"));
        assert!(conflict.is_err(), "{first} before {second}");
    }
}

#[test]
fn a_route_that_can_be_reached_is_accepted() {
    let apart: [(Predicate, Predicate); 7] = [
        (Type::eq("order.created"), Type::prefix("order.")),
        (Attr("type").eq("a"), Type::eq("a")),
        (Type::eq("a"), Type::eq("b")),
        (Attr("a").eq("1"), Attr("b").eq("1")),
        (Source::eq("jobs").and(Type::eq("a")), Source::eq("jobs")),
        (when(|_| true), when(|_| true)),
        (!Type::eq("a"), Type::eq("a")),
    ];

    for (first, second) in apart {
        let router = Router::<()>::new().route(first.clone(), says("first"));
        let accepted = router.try_route(second.clone(), says("second"));
        assert!(accepted.is_ok(), "{first} before {second}: {:?}", accepted.err());
    }
}

#[test]
fn a_conflict_names_both_routes_and_the_way_out() {
    let router = Router::<()>::new().route(Attr("type").prefix("order."), says("first"));

    let conflict = router.try_route(Attr("type").eq("order.created"), says("second")).unwrap_err();

    assert_eq!(
        conflict.to_string(),
        "the route for attribute type = \"order.created\" is hidden by the one for attribute type starts with \
         \"order.\" before it: put the narrower one first"
    );
}

#[test]
fn the_panic_points_at_the_route() {
    let (expected, seen) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
    let (this_thread, line) = (std::thread::current().id(), Arc::clone(&seen));
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // The hook is everybody's: other tests panic as well.
        if std::thread::current().id() == this_thread {
            line.store(info.location().map_or(0, |location| location.line()), Ordering::Relaxed);
        }
    }));

    let panicked = std::panic::catch_unwind(|| {
        let router = Router::<()>::new().route(Type("a"), says("a"));
        expected.store(line!() + 1, Ordering::Relaxed);
        let _ = router.route(Type("a"), says("b"));
    });
    std::panic::set_hook(before);

    assert!(panicked.is_err());
    assert_eq!(seen.load(Ordering::Relaxed), expected.load(Ordering::Relaxed));
}

#[test]
fn merged_and_nested_routes_conflict_like_others() {
    let one = || Router::<()>::new().route(Type("a"), says("a"));
    let nest = || Router::<()>::new().nest(Source::eq("jobs"), one());

    assert!(one().try_merge(one()).is_err());
    assert!(nest().try_merge(nest()).is_err());
    assert!(one().try_merge(nest()).is_err(), "what is nested would not be reached");
    assert!(nest().try_merge(one()).is_ok(), "what is nested is narrower");
}

#[tokio::test]
async fn an_undecided_nested_router_lets_messages_pass_on() {
    let inner = Router::new().route(Type("a"), says("inner a"));
    let router = Router::<()>::new()
        .nest(Source::eq("jobs"), inner)
        .route(Type("a"), says("a"))
        .route(Type("b"), says("b"))
        .or_reject();

    assert_eq!(taken(router.clone(), message(&[("type", "a")], Some("jobs"))).await, "inner a");
    assert_eq!(taken(router.clone(), message(&[("type", "a")], None)).await, "a");
    assert_eq!(taken(router, message(&[("type", "b")], Some("jobs"))).await, "b");
}

#[tokio::test]
async fn a_decided_nested_router_keeps_its_messages() {
    let inner = Router::new().route(Type("a"), says("inner a")).fallback(says("inner fallback"));
    let router = Router::<()>::new()
        .route(Type("z"), says("z"))
        .nest(Source::eq("jobs"), inner)
        .route(Type("b"), says("b"))
        .or_reject();

    assert_eq!(taken(router.clone(), message(&[("type", "b")], Some("jobs"))).await, "inner fallback");
    assert_eq!(taken(router.clone(), message(&[("type", "z")], Some("jobs"))).await, "z");
    assert_eq!(taken(router, message(&[("type", "b")], None)).await, "b");
}

#[tokio::test]
async fn a_nested_router_may_have_a_route_for_any_message() {
    let inner = Router::new().route(Predicate::any(), says("inner any")).or_reject();
    let router = Router::<()>::new().nest(Predicate::any().and(Predicate::any()), inner).or_reject();

    assert_eq!(taken(router, typed("a")).await, "inner any");
}

#[tokio::test]
async fn routers_nest_in_nested_ones_and_merge() {
    let innermost = Router::new().route(Type::one_of(["a", "b"]), says("innermost"));
    let inner = Router::new().route(Type("c"), says("inner")).nest(Attr("eu").exists(), innermost);
    let merged = Router::new().route(Type("d"), says("merged")).nest(Source::eq("jobs"), inner);
    let router = Router::<()>::new().route(Type("e"), says("outer")).merge(merged).fallback(says("none"));

    let from_jobs = |kind| message(&[("type", kind), ("eu", "1")], Some("jobs"));
    assert_eq!(taken(router.clone(), from_jobs("b")).await, "innermost");
    assert_eq!(taken(router.clone(), from_jobs("c")).await, "inner");
    assert_eq!(taken(router.clone(), from_jobs("d")).await, "merged");
    assert_eq!(taken(router.clone(), from_jobs("e")).await, "outer");
    assert_eq!(taken(router.clone(), message(&[("type", "a")], Some("jobs"))).await, "none");
    assert_eq!(taken(router, message(&[("type", "a"), ("eu", "1")], None)).await, "none");
}

#[tokio::test]
async fn an_unroutable_message_is_rejected_with_what_came() {
    let router = Router::<()>::new()
        .route(Type("order.created"), says("a"))
        .route(Type("order.paid"), says("b"))
        .route(Attr("tenant").eq("acme"), says("c"))
        .or_reject();

    let error = router.oneshot(message(&[("type", "order.lost")], Some("orders"))).await.unwrap_err();

    let text = "no route takes a message with type \"order.lost\", no attribute tenant, source \"orders\"";
    assert!(error.is::<Unroutable>());
    assert_eq!(error.to_string(), text);
    assert_eq!(Outcome::of_error(error.as_ref()), Outcome::reject(text));
}

#[tokio::test]
async fn an_unroutable_message_is_retried_or_acknowledged_if_that_was_decided() {
    let retrying = Router::<()>::new().or_retry().oneshot(typed("x")).await.unwrap_err();
    let acknowledged = Router::<()>::new().or_ack().oneshot(typed("x")).await;

    assert_eq!(Outcome::of_error(retrying.as_ref()), Outcome::Retry);
    assert_eq!(acknowledged.unwrap(), Outcome::Ack);
}

#[tokio::test]
async fn a_service_is_routed_to_like_a_handler() {
    let service = service_fn(async |_: Message| Ok::<_, BoxError>(Outcome::reject("service")));
    let router = Router::<()>::new().route_service(Type("a"), service).fallback_service(service);

    assert_eq!(taken(router.clone(), typed("a")).await, "service");
    assert_eq!(taken(router, typed("b")).await, "service");
}

#[tokio::test]
async fn a_router_is_a_service_to_route_to() {
    let inner = Router::<()>::new().route(Type("a"), says("inner")).or_reject();
    let router = Router::<()>::new().route_service(Attr("type").exists(), inner).or_reject();

    assert_eq!(taken(router, typed("a")).await, "inner");
}

#[tokio::test]
async fn state_given_before_or_after_the_decision_reaches_all_handlers() {
    async fn named(State(name): State<&'static str>) -> Outcome {
        Outcome::reject(name)
    }
    let router = || Router::new().route(Type("a"), named);

    let before: Router<(), Decided> = router().with_state("early").or_reject();
    let after: Router<(), Decided> = router().fallback(named).with_state("late");

    assert_eq!(taken(before, typed("a")).await, "early");
    assert_eq!(taken(after.clone(), typed("a")).await, "late");
    assert_eq!(taken(after, typed("b")).await, "late");
}

#[tokio::test]
async fn routers_of_different_states_are_nested() {
    async fn named(State(name): State<&'static str>) -> Outcome {
        Outcome::reject(name)
    }
    let inner = Router::new().route(Type("a"), named).with_state("inner");
    let router = Router::new().nest(Source::eq("jobs"), inner).route(Type("a"), named).or_reject().with_state("outer");

    assert_eq!(taken(router.clone(), message(&[("type", "a")], Some("jobs"))).await, "inner");
    assert_eq!(taken(router, typed("a")).await, "outer");
}

#[tokio::test]
async fn a_layer_wraps_routes_and_fallback_and_a_route_layer_only_routes() {
    let (all, routes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let router = Router::<()>::new()
        .route(Type("a"), says("a"))
        .fallback(says("none"))
        .route_layer(counting(&routes))
        .layer(counting(&all));

    taken(router.clone(), typed("a")).await;
    taken(router, typed("b")).await;

    assert_eq!(all.load(Ordering::Relaxed), 2);
    assert_eq!(routes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_route_layer_leaves_later_routes_alone() {
    let calls = Arc::new(AtomicUsize::new(0));
    let router = Router::<()>::new()
        .route(Type("a"), says("a"))
        .route_layer(counting(&calls))
        .route(Type("b"), says("b"))
        .or_reject();

    taken(router.clone(), typed("b")).await;
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    taken(router, typed("a")).await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn layers_wait_for_the_state() {
    async fn named(State(name): State<&'static str>) -> Outcome {
        Outcome::reject(name)
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let router = Router::new().route(Type("a"), named).or_reject().layer(counting(&calls)).with_state("state");

    assert_eq!(taken(router, typed("a")).await, "state");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn towers_own_layers_go_around_routes_and_router() {
    async fn slow() {
        tokio::time::sleep(Duration::from_secs(9)).await;
    }
    let router = Router::<()>::new()
        .route(Type("a"), slow)
        .or_reject()
        .layer(ServiceBuilder::new().load_shed().concurrency_limit(1).timeout(Duration::from_secs(1)));
    let router = ServiceBuilder::new().concurrency_limit(8).service(router);

    let (first, second) = tokio::join!(router.clone().oneshot(typed("a")), router.oneshot(typed("a")));

    assert!(first.unwrap_err().is::<tower::timeout::error::Elapsed>());
    assert!(second.unwrap_err().is::<tower::load_shed::error::Overloaded>());
}

#[tokio::test]
async fn a_clone_is_changed_by_itself() {
    let one = Router::<()>::new().route(Type("a"), says("a"));
    let two = one.clone().route(Type("b"), says("b"));

    assert_eq!(taken(one.fallback(says("none")), typed("b")).await, "none");
    assert_eq!(taken(two.or_reject(), typed("b")).await, "b");
}

#[test]
fn debug_lists_the_routes() {
    let router = Router::<()>::new().nest(Source::eq("jobs"), Router::new().route(Type("a"), says("a")));

    assert_eq!(format!("{router:?}"), r#"Router { routes: ["source = \"jobs\" and type = \"a\""], .. }"#);
}
