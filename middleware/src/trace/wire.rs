//! [`Wire`], the attributes a context travels in.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chappe_core::{Attributes, Str, Value};

use super::TraceContext;

/// The W3C's [trace context](https://www.w3.org/TR/trace-context/).
pub(super) const TRACEPARENT: &str = "traceparent";
/// What vendors add to it.
pub(super) const TRACESTATE: &str = "tracestate";
/// The W3C's [baggage](https://www.w3.org/TR/baggage/).
pub(super) const BAGGAGE: &str = "baggage";
/// OpenCensus' binary context in base64, as go-msg writes it.
pub(super) const TRACECONTEXT: &str = "Tracecontext";

/// The longest `tracestate` that has to be passed on, and that go-msg reads, in bytes.
const TRACESTATE_MAX_BYTES: usize = 512;

/// In which attributes a context is written.
///
/// Reading needs no choice: names are found in any case, and OpenCensus' context where there is none of the
/// W3C's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wire {
    /// `traceparent`, `tracestate`, `baggage`.
    #[default]
    W3c,
    /// As go-msg's OpenTelemetry decorator: `Traceparent`, `Tracestate`, `Baggage`, and OpenCensus'
    /// `Tracecontext` for those who know only that.
    GoMsg,
    /// As go-msg's OpenCensus decorator: `Tracecontext` and `Tracestate` alone.
    OpenCensus,
}

impl Wire {
    /// Whether the W3C's attributes are written.
    pub(super) fn has_w3c(self) -> bool {
        self != Self::OpenCensus
    }

    /// Whether OpenCensus' attribute is written.
    pub(super) fn has_opencensus(self) -> bool {
        self != Self::W3c
    }

    /// The name as it is written.
    pub(super) fn name(self, name: &str) -> Str {
        let known = match (self, name) {
            (Self::W3c, TRACEPARENT) => TRACEPARENT,
            (Self::W3c, TRACESTATE) => TRACESTATE,
            (Self::W3c, BAGGAGE) => BAGGAGE,
            (_, TRACEPARENT) => "Traceparent",
            (_, TRACESTATE) => "Tracestate",
            (_, BAGGAGE) => "Baggage",
            (Self::W3c, other) => return other.to_owned().into(),
            (_, other) => return canonical(other).into(),
        };
        known.into()
    }
}

/// A context as it travels: where, and what goes along with it unread.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    pub(super) context: TraceContext,
    /// Shared, as it is rare and would make everything that carries a context large.
    luggage: Option<Arc<Luggage>>,
}

/// What goes along unread.
#[derive(Debug)]
struct Luggage {
    state: Option<Str>,
    baggage: Option<Str>,
}

impl Carried {
    /// A context with nothing else.
    pub(super) fn new(context: TraceContext) -> Self {
        Self { context, luggage: None }
    }

    /// Reads the context of a message; `None` if it has none, or a malformed one.
    pub(super) fn read(attributes: &Attributes) -> Option<Self> {
        let found = Found::in_one_look(attributes);
        let w3c = found.traceparent.and_then(Value::as_str).and_then(TraceContext::from_traceparent);
        let context = w3c.or_else(|| decode_opencensus(found.tracecontext?.as_str()?))?;
        let state = found.tracestate.and_then(text).filter(|state| is_tracestate(state)).cloned();
        let baggage = found.baggage.and_then(text).cloned();
        let luggage = (state.is_some() || baggage.is_some()).then(|| Arc::new(Luggage { state, baggage }));
        Some(Self { context, luggage })
    }

    /// The same for another span.
    pub(super) fn at(self, context: TraceContext) -> Self {
        Self { context, ..self }
    }

    /// Writes the context to a message, in place of one it has. Baggage that is there already stays unless there
    /// is some here: it may be the publisher's own.
    pub(super) fn write(&self, attributes: &mut Attributes, wire: Wire) {
        let luggage = self.luggage.as_deref();
        if wire.has_w3c() {
            attributes.insert(wire.name(TRACEPARENT), self.context.traceparent());
            if let Some(baggage) = luggage.and_then(|luggage| luggage.baggage.as_ref()) {
                attributes.insert(wire.name(BAGGAGE), baggage.clone());
            }
        } else {
            attributes.remove(TRACEPARENT);
        }
        write_opencensus(attributes, wire, Some(self.context));
        match luggage.and_then(|luggage| luggage.state.as_ref()) {
            Some(state) => attributes.insert(wire.name(TRACESTATE), state.clone()),
            None => drop(attributes.remove(TRACESTATE)),
        }
    }
}

/// The attributes that make a context, each in whatever case it is in first.
#[derive(Default)]
struct Found<'a> {
    traceparent: Option<&'a Value>,
    tracestate: Option<&'a Value>,
    baggage: Option<&'a Value>,
    tracecontext: Option<&'a Value>,
}

impl<'a> Found<'a> {
    /// Looks at each name once, and nearly always no further than its length: this is what every message
    /// pays that is not traced.
    fn in_one_look(attributes: &'a Attributes) -> Self {
        let mut found = Self::default();
        for (name, value) in attributes {
            let (wanted, place) = match name.len() {
                7 => (BAGGAGE, &mut found.baggage),
                10 => (TRACESTATE, &mut found.tracestate),
                11 => (TRACEPARENT, &mut found.traceparent),
                12 => (TRACECONTEXT, &mut found.tracecontext),
                _ => continue,
            };
            if place.is_none() && name.eq_ignore_ascii_case(wanted) {
                *place = Some(value);
            }
        }
        found
    }
}

/// Reads OpenCensus' context.
#[cfg(any(feature = "opentelemetry", test))]
pub(super) fn read_opencensus(attributes: &Attributes) -> Option<TraceContext> {
    decode_opencensus(attributes.get_str(TRACECONTEXT)?)
}

fn decode_opencensus(text: &str) -> Option<TraceContext> {
    // Longer than what OpenCensus writes; what may follow in some later version is not read anyway.
    let mut bytes = [0; 64];
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    TraceContext::from_opencensus(&bytes[..length])
}

/// Writes OpenCensus' context where it is wanted, and sees to it that no older one stays behind.
pub(super) fn write_opencensus(attributes: &mut Attributes, wire: Wire, context: Option<TraceContext>) {
    match context.filter(|_| wire.has_opencensus()) {
        Some(context) => attributes.insert(TRACECONTEXT, STANDARD.encode(context.to_opencensus())),
        None => drop(attributes.remove(TRACECONTEXT)),
    }
}

/// Whether a `tracestate` is one that can be read: short enough, of pairs of a name and a value.
pub(super) fn is_tracestate(state: &str) -> bool {
    !state.is_empty()
        && state.len() <= TRACESTATE_MAX_BYTES
        && state.split(',').all(|pair| pair.split('=').count() == 2 && !pair.trim().starts_with('='))
}

fn text(value: &Value) -> Option<&Str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The name as Go writes a header's: the first letter and those after a dash in upper case.
fn canonical(name: &str) -> String {
    let mut upper = true;
    let change = |letter: char| {
        let changed = if upper { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        upper = letter == '-';
        changed
    };
    name.chars().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const OPENCENSUS: &str = "AABAQUJDREVGR0hJSktMTU5PAWFiY2RlZmdoAgE=";

    #[test]
    fn a_context_is_found_in_any_case() {
        for name in ["traceparent", "Traceparent", "TRACEPARENT"] {
            let carried = Carried::read(&Attributes::from([(name, PARENT)])).unwrap();

            assert_eq!(carried.context.to_string(), PARENT);
        }
    }

    #[test]
    fn opencensus_is_read_where_there_is_nothing_else_that_can_be() {
        let context = |attributes: Attributes| Carried::read(&attributes).unwrap().context.span_id();

        assert_eq!(context([("Tracecontext", OPENCENSUS)].into()), 0x6162636465666768);
        assert_eq!(context([("traceparent", "nonsense"), ("tracecontext", OPENCENSUS)].into()), 0x6162636465666768);
        assert_eq!(context([("Tracecontext", OPENCENSUS), ("traceparent", PARENT)].into()), 0x00f067aa0ba902b7);
    }

    #[test]
    fn what_is_no_context_is_none() {
        for value in ["invalidcontext", "YWJjMTIz", "", "AAA="] {
            assert!(Carried::read(&[("Tracecontext", value), ("traceparent", value)].into()).is_none(), "{value}");
        }
        let long = STANDARD.encode([0; 200]);
        assert!(Carried::read(&[("Tracecontext", long)].into()).is_none());
        assert!(Carried::read(&Attributes::new()).is_none());
    }

    #[test]
    fn go_msgs_names_are_written_in_its_case_and_with_opencensus() {
        let mut attributes = Attributes::from([("a", "1"), ("traceparent", "old"), ("b", "2")]);
        let mut carried = Carried::new(TraceContext::from_traceparent(PARENT).unwrap());
        let luggage = Luggage { state: Some("debug=true".into()), baggage: Some("user=7".into()) };
        carried.luggage = Some(Arc::new(luggage));

        carried.write(&mut attributes, Wire::GoMsg);

        let names: Vec<&str> = attributes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "Traceparent", "b", "Baggage", "Tracecontext", "Tracestate"]);
        let opencensus = read_opencensus(&attributes).unwrap();
        assert_eq!((opencensus.trace_id(), opencensus.span_id()), (carried.context.trace_id(), 0x00f067aa0ba902b7));
    }

    #[test]
    fn what_an_older_context_left_behind_is_replaced_or_removed() {
        let old = [("Traceparent", "old"), ("Tracestate", "a=b"), ("Tracecontext", "old"), ("baggage", "mine=1")];
        let carried = Carried::new(TraceContext::from_traceparent(PARENT).unwrap());
        let mut w3c = Attributes::from(old);
        let mut opencensus = Attributes::from(old);

        carried.write(&mut w3c, Wire::W3c);
        carried.write(&mut opencensus, Wire::OpenCensus);

        assert_eq!(w3c, Attributes::from([("traceparent", PARENT), ("baggage", "mine=1")]));
        assert_eq!(opencensus.len(), 2);
        assert_eq!(Carried::read(&opencensus).unwrap().context.trace_id(), carried.context.trace_id());
    }

    #[test]
    fn a_tracestate_is_kept_in_its_order_and_ignored_if_it_is_none() {
        let state = |text: &'static str| {
            let carried = Carried::read(&[("Tracecontext", OPENCENSUS), ("Tracestate", text)].into()).unwrap();
            carried.luggage.and_then(|luggage| luggage.state.clone())
        };

        assert_eq!(state("debug=true,log=false"), Some("debug=true,log=false".into()));
        assert_eq!(state("debug=true, log=false"), Some("debug=true, log=false".into()));
        for bad in ["debug", "a=b=c", "a=b,,c=d", "=b", ""] {
            assert_eq!(state(bad), None, "{bad}");
        }
        assert!(!is_tracestate(&format!("a={}", "x".repeat(511))));
    }

    #[test]
    fn other_names_are_written_as_go_would() {
        assert_eq!(Wire::GoMsg.name("x-b3-traceid"), "X-B3-Traceid");
        assert_eq!(Wire::W3c.name("x-b3-traceid"), "x-b3-traceid");
    }
}
