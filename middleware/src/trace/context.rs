//! [`TraceContext`], where in which trace something happens.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// The bit that says that the trace is recorded, and the only one that is passed on: the others are of later
/// versions, and there are readers that take a context with one of them for malformed.
const SAMPLED: u8 = 0b01;

/// The length of a `traceparent` of version 0, and the least of any later one.
const TRACEPARENT_BYTES: usize = 55;

/// The length of what OpenCensus writes.
pub(super) const OPENCENSUS_BYTES: usize = 29;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What each byte is worth as a digit; 255 if it is none.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut digit = 0;
    while digit < 16 {
        values[DIGITS[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

const ASCII: &str = "hexadecimal digits and dashes are ASCII";

/// Where in which trace something happens: the ids of the trace and of a span in it.
///
/// Shown as a [`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header).
///
/// # Examples
///
/// ```
/// use chappe_middleware::trace::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context = TraceContext::from_traceparent(text).unwrap();
///
/// assert_eq!(context.trace_id(), 0x4bf92f3577b34da6a3ce929d0e0e4736);
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: NonZeroU128,
    span_id: NonZeroU64,
    flags: u8,
}

impl TraceContext {
    /// Puts a context together; `None` if one of the ids is zero, which means that there is none.
    #[must_use]
    pub fn new(trace_id: u128, span_id: u64, is_sampled: bool) -> Option<Self> {
        let flags = if is_sampled { SAMPLED } else { 0 };
        Some(Self { trace_id: NonZeroU128::new(trace_id)?, span_id: NonZeroU64::new(span_id)?, flags })
    }

    /// Begins a trace that is recorded.
    #[must_use]
    pub fn root() -> Self {
        let trace_id = NonZeroU128::new(fastrand::u128(1..)).unwrap_or(NonZeroU128::MIN);
        Self { trace_id, span_id: new_span_id(), flags: SAMPLED }
    }

    /// A new span in the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: new_span_id(), ..self }
    }

    /// Reads a W3C `traceparent`, of this version or a later one; `None` if it is malformed.
    #[must_use]
    pub fn from_traceparent(text: &str) -> Option<Self> {
        let text = text.trim().as_bytes();
        if text.len() < TRACEPARENT_BYTES || [2, 35, 52].iter().any(|dash| text[*dash] != b'-') {
            return None;
        }
        let version = u8::try_from(hex(&text[..2])?).ok()?;
        // The first version has an end; later ones may go on behind another dash.
        let is_whole = match version {
            0 => text.len() == TRACEPARENT_BYTES,
            u8::MAX => false,
            _ => text.get(TRACEPARENT_BYTES).is_none_or(|next| *next == b'-'),
        };
        let flags = u8::try_from(hex(&text[53..TRACEPARENT_BYTES])?).ok()? & SAMPLED;
        let trace_id = NonZeroU128::new(u128::from(hex(&text[3..19])?) << 64 | u128::from(hex(&text[19..35])?))?;
        let span_id = NonZeroU64::new(hex(&text[36..52])?)?;
        is_whole.then_some(Self { trace_id, span_id, flags })
    }

    /// Reads the binary context of OpenCensus: a version, and fields that each begin with their number. Only
    /// the trace's id has to be there; a missing span is made up.
    #[must_use]
    pub fn from_opencensus(bytes: &[u8]) -> Option<Self> {
        let fields = bytes.strip_prefix(&[0])?;
        let (trace_id, fields) = fields.strip_prefix(&[0])?.split_at_checked(16)?;
        let trace_id = NonZeroU128::new(u128::from_be_bytes(trace_id.try_into().ok()?))?;
        let mut context = Self { trace_id, span_id: new_span_id(), flags: 0 };
        let Some((span_id, fields)) = fields.strip_prefix(&[1]).and_then(|rest| rest.split_at_checked(8)) else {
            return Some(context);
        };
        context.span_id = NonZeroU64::new(u64::from_be_bytes(span_id.try_into().ok()?)).unwrap_or(context.span_id);
        if let [2, options, ..] = fields {
            context.flags = options & SAMPLED;
        }
        Some(context)
    }

    /// The binary context of OpenCensus.
    #[must_use]
    pub fn to_opencensus(self) -> [u8; OPENCENSUS_BYTES] {
        let mut bytes = [0; OPENCENSUS_BYTES];
        bytes[2..18].copy_from_slice(&self.trace_id.get().to_be_bytes());
        bytes[18] = 1;
        bytes[19..27].copy_from_slice(&self.span_id.get().to_be_bytes());
        bytes[27] = 2;
        bytes[28] = self.flags & SAMPLED;
        bytes
    }

    /// The W3C `traceparent`, in one allocation.
    pub(super) fn traceparent(self) -> String {
        String::from_utf8(self.to_traceparent().to_vec()).expect(ASCII)
    }

    /// Written out by hand, as this is on the path of every message.
    fn to_traceparent(self) -> [u8; TRACEPARENT_BYTES] {
        let mut text = [b'-'; TRACEPARENT_BYTES];
        write_hex(&mut text[..2], 0);
        write_hex(&mut text[3..35], self.trace_id.get());
        write_hex(&mut text[36..52], self.span_id.get().into());
        write_hex(&mut text[53..], self.flags.into());
        text
    }

    /// The id of the trace, never zero.
    #[must_use]
    pub fn trace_id(self) -> u128 {
        self.trace_id.get()
    }

    /// The id of the span, never zero.
    #[must_use]
    pub fn span_id(self) -> u64 {
        self.span_id.get()
    }

    /// Whether whoever began the trace has it recorded.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_traceparent()).expect(ASCII))
    }
}

/// Writes a number as hexadecimal digits, as many as there is room for.
fn write_hex(digits: &mut [u8], mut number: u128) {
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number & 0xf) as usize];
        number >>= 4;
    }
}

fn new_span_id() -> NonZeroU64 {
    NonZeroU64::new(fastrand::u64(1..)).unwrap_or(NonZeroU64::MIN)
}

/// Up to 16 digits, in lower case only, as the W3C has it.
fn hex(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    let mut seen = 0;
    for digit in digits {
        let value = VALUES[usize::from(*digit)];
        seen |= value;
        number = number << 4 | u64::from(value);
    }
    // A digit sets no bit above the fourth; looking once at the end is quicker than at each.
    (seen < 16).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    #[test]
    fn a_traceparent_is_read_and_written() {
        for (flags, sampled, written) in
            [("00", false, "00"), ("01", true, "01"), ("03", true, "01"), ("02", false, "00")]
        {
            let context = TraceContext::from_traceparent(&format!("00-{IDS}-{flags}")).unwrap();

            assert_eq!((context.to_string(), context.is_sampled()), (format!("00-{IDS}-{written}"), sampled));
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = TraceContext::from_traceparent(&format!("cc-{IDS}-09-what-is-this")).unwrap();

        assert_eq!(later.to_string(), format!("00-{IDS}-01"));
    }

    #[test]
    fn a_malformed_traceparent_is_none() {
        let malformed = [
            String::new(),
            "00".into(),
            format!("00-{IDS}"),
            format!("00-{IDS}-0"),
            format!("00-{IDS}-01-more"),
            format!("01-{IDS}-01more"),
            format!("ff-{IDS}-01"),
            format!("00-{}-01", IDS.to_uppercase()),
            format!("00-{}-01", IDS.replace('a', "é").chars().take(49).collect::<String>()),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01".into(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".into(),
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
            "é".repeat(40),
        ];
        for text in malformed {
            assert_eq!(TraceContext::from_traceparent(&text), None, "{text}");
        }
    }

    #[test]
    fn the_binary_context_of_opencensus_is_read_and_written() {
        let mut vector = vec![0, 0];
        vector.extend(64..80);
        vector.push(1);
        vector.extend(97..105);
        vector.extend([2, 1]);

        let context = TraceContext::from_opencensus(&vector).unwrap();

        assert_eq!(context.to_string(), "00-404142434445464748494a4b4c4d4e4f-6162636465666768-01");
        assert_eq!(context.to_opencensus().to_vec(), vector);
    }

    #[test]
    fn opencensus_without_a_span_keeps_its_trace_and_anything_less_is_none() {
        let mut vector = vec![0, 0];
        vector.extend(64..80);

        let context = TraceContext::from_opencensus(&vector).unwrap();

        assert_eq!(context.trace_id(), 0x404142434445464748494a4b4c4d4e4f);
        assert!(!context.is_sampled());
        for bytes in [&vector[..17], &[], &[1], b"abc123"] {
            assert_eq!(TraceContext::from_opencensus(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_child_is_another_span_of_the_same_trace() {
        let root = TraceContext::root();
        let child = root.child();

        assert!(root.is_sampled() && child.is_sampled());
        assert_eq!(root.trace_id(), child.trace_id());
        assert_ne!(root.span_id(), child.span_id());
    }
}
