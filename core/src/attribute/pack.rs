//! [`Packer`], attributes a broker has no room or form for, in one that it has.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BufMut, Bytes};

use super::{Attributes, Value, reserved};
use crate::{Error, ErrorKind, Str};

/// The first byte of what is packed, so that another form can follow.
const VERSION: u8 = 1;

/// Why a broker cannot carry an attribute as it is, to stand behind "attribute x": `has an empty value`.
pub type Misfit = Cow<'static, str>;

/// Divides attributes into those a broker carries as they are and those that travel packed, in the value of
/// [`PACKED`](reserved::PACKED).
///
/// Packed is what does not [fit](Self::new), every value of a name but the first, and what is too many.
/// [`Attributes::unpack`] puts everything back: names, kinds, values, and the order, unless the broker loses
/// it. Such brokers keep attributes in a map: they name it with [`unordered`](Self::unordered).
///
/// # Examples
///
/// ```
/// use chappe_core::Attributes;
/// use chappe_core::attribute::Packer;
///
/// let packer = Packer::new(10, |_, value| if value.as_bytes().is_empty() { Err("is empty".into()) } else { Ok(()) });
/// let attributes = Attributes::from([("a", "1"), ("b", ""), ("c", "3")]);
///
/// let packed = packer.pack(&attributes, 0)?;
/// assert_eq!(packed.kept().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
///
/// let mut received: Attributes = packed.kept().map(|(name, value)| (name.clone(), value.clone())).collect();
/// received.unpack(packed.bytes().unwrap())?;
/// assert_eq!(received, attributes);
/// # Ok::<(), chappe_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Packer {
    max_count: usize,
    fits: fn(&str, &Value) -> Result<(), Misfit>,
    promoted: Vec<Str>,
    strict: bool,
    map: Option<MapOrder>,
}

/// What to do about the order on a broker that loses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MapOrder {
    Sorted,
    Packed,
}

impl Packer {
    /// A packer for a broker that carries up to `max_count` attributes, the packed one included, and those
    /// only for which `fits` has nothing to say.
    #[must_use]
    pub fn new(max_count: usize, fits: fn(&str, &Value) -> Result<(), Misfit>) -> Self {
        Self { max_count, fits, promoted: Vec::new(), strict: false, map: None }
    }

    /// Refuses what would have to be packed.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Names that are the last to be packed when there are too many, so that filters and consumers of other
    /// kinds see them. Without regard to case.
    #[must_use]
    pub fn promote<N: Into<Str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.promoted.extend(names.into_iter().map(Into::into));
        self
    }

    /// Says that the broker keeps attributes in a map. Their order is packed along with anything else that
    /// is packed; with `keep`, it is packed wherever it is not the order of the names' bytes, and takes up
    /// the room of an attribute. Otherwise they arrive in that order.
    #[must_use]
    pub fn unordered(mut self, keep: bool) -> Self {
        self.map = Some(if keep { MapOrder::Packed } else { MapOrder::Sorted });
        self
    }

    /// Whether [`strict`](Self::strict) is set.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Divides `attributes`. `taken` is how many of the broker's attributes are wanted for other things.
    ///
    /// Allocates nothing if nothing is packed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] if there is no room at all. If [strict](Self::strict), also for too many
    /// attributes, and [`ErrorKind::Invalid`] for what does not fit and for a name with several values.
    pub fn pack<'a>(&self, attributes: &'a Attributes, taken: usize) -> Result<Packed<'a>, Error> {
        let room = self.max_count.saturating_sub(taken);
        let misfits = attributes.len() > room || (0..attributes.len()).any(|at| self.misfit(attributes, at).is_some());
        if misfits && (self.strict || room == 0) {
            return Err(self.refuse(attributes, room));
        }
        if !misfits && (self.map != Some(MapOrder::Packed) || is_sorted(attributes)) {
            return Ok(Packed { attributes, packed: None });
        }
        if self.strict && attributes.len() == room {
            let text = format!(
                "message has {room} attributes, which leaves no room for their order; use fewer, or let the order go"
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let kept = self.choose(attributes, room.saturating_sub(1));
        let bytes = encode(attributes, &kept, self.map.is_some());
        Ok(Packed { attributes, packed: Some((kept, bytes)) })
    }

    /// Which attributes are kept, at most `room`: the promoted ones, and then the first.
    fn choose(&self, attributes: &Attributes, room: usize) -> Vec<bool> {
        let fits: Vec<bool> = (0..attributes.len()).map(|at| self.misfit(attributes, at).is_none()).collect();
        let mut kept = vec![false; fits.len()];
        let mut left = room;
        for promoted in [true, false] {
            for (at, (name, _)) in attributes.iter().enumerate() {
                if left > 0 && fits[at] && self.is_promoted(name) == promoted {
                    kept[at] = true;
                    left -= 1;
                }
            }
        }
        kept
    }

    fn is_promoted(&self, name: &str) -> bool {
        self.promoted.iter().any(|promoted| promoted.eq_ignore_ascii_case(name))
    }

    fn misfit(&self, attributes: &Attributes, at: usize) -> Option<Misfit> {
        let (name, value) = &attributes.entries[at];
        if let Err(misfit) = (self.fits)(name, value) {
            return Some(misfit);
        }
        let repeated = attributes.entries[..at].iter().any(|(earlier, _)| earlier == name);
        repeated.then_some(Cow::Borrowed("has several values"))
    }

    fn refuse(&self, attributes: &Attributes, room: usize) -> Error {
        if attributes.len() > room {
            let text = format!(
                "message has {} attributes, the limit is {room}; use fewer, or have the rest packed",
                attributes.len()
            );
            return Error::new(ErrorKind::TooLarge, text);
        }
        let found =
            attributes.iter().enumerate().find_map(|(at, (name, _))| Some((name, self.misfit(attributes, at)?)));
        let (name, misfit) = found.expect("something did not fit");
        Error::new(ErrorKind::Invalid, format!("attribute {name:?} {misfit}; change it, or have it packed"))
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer")
            .field("max_count", &self.max_count)
            .field("promoted", &self.promoted)
            .field("strict", &self.strict)
            .field("map", &self.map)
            .finish_non_exhaustive()
    }
}

/// Attributes, divided by a [`Packer`].
#[derive(Clone, Debug)]
pub struct Packed<'a> {
    attributes: &'a Attributes,
    /// Which of them are kept, and the others' bytes.
    packed: Option<(Vec<bool>, Bytes)>,
}

impl<'a> Packed<'a> {
    /// The attributes that travel as they are, in order.
    pub fn kept(&self) -> impl Iterator<Item = (&'a Str, &'a Value)> {
        let kept = self.packed.as_ref().map(|(kept, _)| kept.as_slice());
        self.attributes
            .iter()
            .enumerate()
            .filter(move |(at, _)| kept.is_none_or(|kept| kept[*at]))
            .map(|(_, entry)| entry)
    }

    /// The value of [`PACKED`](reserved::PACKED), if anything is packed.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        self.packed.as_ref().map(|(_, bytes)| bytes)
    }

    /// The same in base64, for a broker without binary values.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.bytes().map(|bytes| STANDARD.encode(bytes))
    }
}

impl Attributes {
    /// Puts back what a [`Packer`] packed among the attributes that were received beside it, and sorts these
    /// by name first if the broker keeps no order. The value may also be base64.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it is not what a packer makes; the attributes are as they were.
    pub fn unpack(&mut self, packed: &[u8]) -> Result<(), Error> {
        let decoded;
        let mut rest = packed;
        // Base64 of the version byte begins with a letter, so one look tells them apart.
        if packed.first() != Some(&VERSION) {
            decoded = STANDARD.decode(packed).map_err(|_| malformed())?;
            rest = &decoded;
        }
        let Unpacked { order, entries } = Unpacked::read(&mut rest).ok_or_else(malformed)?;
        self.reorder(&order);
        for (at, name, value) in entries {
            let at = at.min(self.len());
            self.entries.insert(at, (name, value));
        }
        self.recount();
        Ok(())
    }

    /// Brings attributes that were kept in a map into the order of the bytes of their names, which is where
    /// [`Packer::unordered`] expects them.
    pub fn sort(&mut self) {
        self.entries.sort_by(|(left, _), (right, _)| left.cmp(right));
    }

    /// Has what is `order[n]`th in the order of names come `n`th. Anything but a permutation of just these
    /// attributes, because somebody on the way added or removed one, leaves them as they are.
    fn reorder(&mut self, order: &[usize]) {
        let mut seen = vec![false; order.len()];
        let fresh = |&at: &usize| seen.get_mut(at).is_some_and(|seen| !std::mem::replace(seen, true));
        if order.is_empty() || order.len() != self.len() || !order.iter().all(fresh) {
            return;
        }
        self.sort();
        let mut sorted: Vec<_> = std::mem::take(&mut self.entries).into_iter().map(Some).collect();
        self.entries.extend(order.iter().map(|&at| sorted[at].take().expect("a permutation names each once")));
    }
}

/// What was packed: the order of what was kept, and each other attribute with its place.
struct Unpacked {
    order: Vec<usize>,
    entries: Vec<(usize, Str, Value)>,
}

impl Unpacked {
    fn read(rest: &mut &[u8]) -> Option<Self> {
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let kept = get_number(rest)?;
        // Each takes a byte at least, so a false number does not allocate.
        let order = (0..kept).map_while(|_| get_number(rest)).collect::<Vec<_>>();
        if order.len() != kept {
            return None;
        }
        let mut entries = Vec::new();
        while rest.has_remaining() {
            let at = get_number(rest)?;
            let kind = rest.try_get_u8().ok()?;
            let name = get_text(rest)?;
            let value = match kind {
                0 => Value::Text(get_text(rest)?),
                1 => Value::Number(get_text(rest)?),
                2 => Value::Binary(Bytes::copy_from_slice(get_bytes(rest)?)),
                3 => Value::Null,
                _ => return None,
            };
            entries.push((at, name, value));
        }
        Some(Self { order, entries })
    }
}

/// Version; how many were kept and which place by name each has, or 0 where their order is sure to be that;
/// then for each other its place, kind, name and value. Numbers are LEB128, texts and values have their
/// length before them.
fn encode(attributes: &Attributes, kept: &[bool], unordered: bool) -> Bytes {
    let mut out = vec![VERSION];
    let names: Vec<&str> =
        attributes.iter().zip(kept).filter(|(_, kept)| **kept).map(|((name, _), _)| &**name).collect();
    if unordered && !names.is_sorted() {
        put_number(&mut out, names.len());
        // No name is kept twice, so this is the place of each among all.
        for name in &names {
            put_number(&mut out, names.iter().filter(|other| *other < name).count());
        }
    } else {
        put_number(&mut out, 0);
    }
    for (at, (name, value)) in attributes.iter().enumerate().filter(|(at, _)| !kept[*at]) {
        put_number(&mut out, at);
        out.put_u8(match value {
            Value::Text(_) => 0,
            Value::Number(_) => 1,
            Value::Binary(_) => 2,
            Value::Null => 3,
        });
        put_bytes(&mut out, name.as_bytes());
        if *value != Value::Null {
            put_bytes(&mut out, value.as_bytes());
        }
    }
    out.into()
}

fn is_sorted(attributes: &Attributes) -> bool {
    attributes.iter().map(|(name, _)| name).is_sorted()
}

fn put_number(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn get_number(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0_usize;
    // Four times seven bits: more than any broker carries.
    for shift in [0, 7, 14, 21] {
        let byte = rest.try_get_u8().ok()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn get_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = get_number(rest)?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

fn get_text(rest: &mut &[u8]) -> Option<Str> {
    std::str::from_utf8(get_bytes(rest)?).ok().map(Str::new)
}

fn malformed() -> Error {
    Error::new(ErrorKind::Invalid, format!("attribute {:?} is not what a packer makes", reserved::PACKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(name: &str, value: &Value) -> Result<(), Misfit> {
        match value {
            Value::Null => Err("is null".into()),
            value if value.as_bytes().is_empty() => Err("has an empty value".into()),
            _ if name.contains(' ') => Err("has a space in its name".into()),
            _ => Ok(()),
        }
    }

    fn refused(attributes: &Attributes) -> String {
        Packer::new(2, fits).strict(true).pack(attributes, 0).unwrap_err().to_string()
    }

    #[test]
    fn what_fits_is_not_packed() {
        let attributes = Attributes::from([("z", "1"), ("a", "2")]);

        let packed = Packer::new(2, fits).unordered(false).pack(&attributes, 0).unwrap();

        assert!(packed.bytes().is_none());
        assert_eq!(packed.kept().count(), 2);
    }

    #[test]
    fn promoted_names_are_packed_last() {
        let attributes = Attributes::from([("a", "1"), ("b", "2"), ("c", "3"), ("TraceParent", "4")]);

        let packed = Packer::new(3, fits).promote(["traceparent"]).pack(&attributes, 0).unwrap();

        assert_eq!(packed.kept().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "TraceParent"]);
    }

    #[test]
    fn room_that_is_taken_is_not_used() {
        let attributes = Attributes::from([("a", "1"), ("b", "2")]);

        let packed = Packer::new(2, fits).pack(&attributes, 1).unwrap();

        assert_eq!((packed.kept().count(), packed.bytes().is_some()), (0, true));
    }

    #[test]
    fn strict_names_the_attribute_or_the_number_and_the_way_out() {
        assert_eq!(
            refused(&Attributes::from([("a", "")])),
            r#"attribute "a" has an empty value; change it, or have it packed"#
        );
        assert_eq!(
            refused(&Attributes::from([("a", "1"), ("a", "2")])),
            r#"attribute "a" has several values; change it, or have it packed"#
        );
        assert_eq!(
            refused(&Attributes::from([("a", "1"), ("b", "2"), ("c", "3")])),
            "message has 3 attributes, the limit is 2; use fewer, or have the rest packed"
        );
    }

    #[test]
    fn attributes_added_on_the_way_do_not_spoil_the_rest() {
        let attributes = Attributes::from([("b", "1"), ("a", "2"), ("none", "")]);
        let packed = Packer::new(3, fits).unordered(false).pack(&attributes, 0).unwrap();
        let mut received = Attributes::from([("a", "2"), ("added", "x"), ("b", "1")]);

        received.unpack(packed.bytes().unwrap()).unwrap();

        assert_eq!(received, Attributes::from([("a", "2"), ("added", "x"), ("none", ""), ("b", "1")]));
    }

    #[test]
    fn what_no_packer_made_is_refused_and_changes_nothing() {
        let mut attributes = Attributes::from([("a", "1")]);

        for bytes in [
            b"".as_slice(),
            b"\x02",
            b"hello",
            b"\x01\x05",
            b"\x01\x00\x00\x00\xff\xff\xff\xff\xff",
            b"\x01\x00\x00\x09\x01a\x00",
        ] {
            assert_eq!(attributes.unpack(bytes).unwrap_err().kind(), ErrorKind::Invalid, "{bytes:?}");
        }

        assert_eq!(attributes, Attributes::from([("a", "1")]));
    }
}
