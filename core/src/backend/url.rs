//! [`Url`], the place and the options of a backend as one text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::{Error, ErrorKind};

/// The place and the options of a queue, topic or bus, written as a URL.
///
/// ```text
/// scheme://user:password@host:port/one/two?key=value&other=value
/// ```
///
/// User, password, segments and values are percent-decoded. A backend takes the options it knows and then
/// [finishes](Self::finish), so that a key nobody knows is an error and not an option without effect. What is
/// printed of a URL, here and in its errors, has neither credentials nor options.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use chappe_core::backend::Url;
///
/// let mut url = Url::parse("redis://app:secret@localhost:6379/0?queue=orders&lease=30s")?;
/// assert_eq!((url.host(), url.port()), ("localhost", Some(6379)));
/// assert_eq!(url.take::<String>("queue")?.as_deref(), Some("orders"));
/// assert_eq!(url.duration("lease")?, Some(Duration::from_secs(30)));
/// url.finish()?;
/// assert_eq!(url.to_string(), "redis://localhost:6379/0");
/// # Ok::<(), chappe_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Url {
    place: Box<str>,
    scheme: Box<str>,
    user: Option<Box<str>>,
    password: Option<Box<str>>,
    authority: Box<str>,
    segments: Vec<String>,
    options: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Url {
    /// Takes a URL apart.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it has no scheme, a fragment, a key twice or what is no text when decoded.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            let known = text.split_once(':').map_or("it", |(scheme, _)| scheme);
            malformed(known, "it is to begin with a scheme and ://, as in memory://orders")
        })?;
        let plain = |character: char| character.is_ascii_alphanumeric() || "+-.".contains(character);
        if scheme.is_empty() || !scheme.chars().all(plain) {
            return Err(malformed("it", "its scheme is to be letters, digits, +, - and ."));
        }
        if rest.contains('#') {
            return Err(malformed(scheme, "it has a #, which is to be written as %23"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, authority),
        };
        let decoded = |text: &str| decode(text).ok_or_else(|| malformed(scheme, "it has a % that encodes no text"));
        let (user, password) = match credentials.map(|both| both.split_once(':').unwrap_or((both, ""))) {
            Some((user, password)) => (Some(decoded(user)?), Some(decoded(password)?)),
            None => (None, None),
        };
        let present = |text: Option<String>| text.filter(|text| !text.is_empty()).map(String::into_boxed_str);
        let mut url = Self {
            place: format!("{scheme}://{place}").into(),
            scheme: scheme.into(),
            user: present(user),
            password: present(password),
            authority: authority.into(),
            segments: path.split('/').filter(|part| !part.is_empty()).map(decoded).collect::<Result<_, _>>()?,
            options: Vec::new(),
            known: Vec::new(),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (decoded(key)?, decoded(value)?);
            if url.options.iter().any(|(there, _)| *there == key) {
                return Err(url.invalid(format_args!("its option {key} is there twice")));
            }
            url.options.push((key, value));
        }
        Ok(url)
    }

    /// What is before `://`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The user, unless it is empty.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, unless it is empty. It is for the client alone.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Host and port as they stand there, for clients that take several: `one:1234,two:1234`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host, without its port and, for IPv6, without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => self.authority.rsplit_once(':').map_or(&self.authority, |(host, _)| host),
        }
    }

    /// The port, where there is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let after = self.authority.rsplit_once(']').map_or(&*self.authority, |(_, after)| after);
        after.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
    }

    /// The parts of the path; empty ones are left out.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// Everything before the options as it was written, **credentials included**, for clients that read URLs
    /// themselves. Never print it.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Takes an option, read as a `T`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it is there and is no `T`.
    pub fn take<T: FromStr>(&mut self, key: &'static str) -> Result<Option<T>, Error> {
        let name = std::any::type_name::<T>();
        let wanted = match name.rsplit("::").next().unwrap_or(name) {
            "bool" => "true or false",
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
            other => other,
        };
        self.read(key, wanted, |value| value.parse().ok())
    }

    /// Takes an option that is a time: `500ms`, `30s`, `2m` or `1h`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it is there and is none of these.
    pub fn duration(&mut self, key: &'static str) -> Result<Option<Duration>, Error> {
        self.read(key, "a time such as 500ms, 30s, 2m or 1h", |value| {
            let (number, unit) = measure(value)?;
            match unit {
                "ms" => Some(Duration::from_millis(number)),
                "s" => Some(Duration::from_secs(number)),
                "m" => number.checked_mul(60).map(Duration::from_secs),
                "h" => number.checked_mul(3_600).map(Duration::from_secs),
                _ => None,
            }
        })
    }

    /// Takes an option that is a size: bytes as in `4096` or `4096B`, or `64KiB`, `1MiB`, `1GiB`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it is there and is none of these.
    pub fn bytes(&mut self, key: &'static str) -> Result<Option<usize>, Error> {
        self.read(key, "a size such as 4096, 64KiB or 1MiB", |value| {
            let (number, unit) = measure(value)?;
            let factor: u64 = match unit {
                "" | "B" => 1,
                "KiB" => 1 << 10,
                "MiB" => 1 << 20,
                "GiB" => 1 << 30,
                _ => return None,
            };
            number.checked_mul(factor)?.try_into().ok()
        })
    }

    /// Says that all options were taken.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if one was not; it names that one and those there are.
    pub fn finish(&self) -> Result<(), Error> {
        let Some((unknown, _)) = self.options.first() else {
            return Ok(());
        };
        let known = match self.known[..] {
            [] => "it has none".to_owned(),
            ref known => format!("there are: {}", known.join(", ")),
        };
        Err(self.invalid(format_args!("it knows no option {unknown}; {known}")))
    }

    /// An error about this URL, which says why.
    #[must_use]
    pub fn invalid(&self, why: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Invalid, format!("the URL {self} is not usable: {why}"))
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let Some(at) = self.options.iter().position(|(there, _)| there == key) else {
            return Ok(None);
        };
        let (_, value) = self.options.remove(at);
        // The value stays out of the text: it may be what nobody should read.
        read(&value).map(Some).ok_or_else(|| self.invalid(format_args!("its option {key} is to be {wanted}")))
    }
}

/// The URL without credentials and options.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)?;
        self.segments.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Url").field(&format_args!("{self}")).finish()
    }
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// A number and the unit behind it.
fn measure(value: &str) -> Option<(u64, &str)> {
    let (number, unit) =
        value.split_at(value.find(|character: char| !character.is_ascii_digit()).unwrap_or(value.len()));
    Some((number.parse().ok()?, unit))
}

fn malformed(what: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{what} is no URL of a backend: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = Url::parse("postgres://a%40b:s%2Fecret@[::1]:5432/shop%20one//x?").unwrap();

        assert_eq!((url.scheme(), url.host(), url.port()), ("postgres", "::1", Some(5432)));
        assert_eq!((url.user(), url.password()), (Some("a@b"), Some("s/ecret")));
        assert_eq!(url.segments(), ["shop one", "x"]);
        assert_eq!(url.place(), "postgres://a%40b:s%2Fecret@[::1]:5432/shop%20one//x");
    }

    #[test]
    fn what_is_not_there_is_not_there() {
        let url = Url::parse("memory://orders").unwrap();

        assert_eq!((url.host(), url.port()), ("orders", None));
        assert_eq!((url.user(), url.password()), (None, None));
        assert!(url.segments().is_empty());
        assert!(url.finish().is_ok());
    }

    #[test]
    fn options_are_taken_once_and_by_their_units() {
        let mut url = Url::parse("x://h?a=7&b=250ms&c=2m&d=64KiB&e=on%20top&f=10").unwrap();

        assert_eq!(url.take::<u8>("a").unwrap(), Some(7));
        assert_eq!(url.take::<u8>("a").unwrap(), None);
        assert_eq!(url.duration("b").unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(url.duration("c").unwrap(), Some(Duration::from_secs(120)));
        assert_eq!(url.bytes("d").unwrap(), Some(65_536));
        assert_eq!(url.take::<String>("e").unwrap().as_deref(), Some("on top"));
        assert_eq!(url.bytes("f").unwrap(), Some(10));
        assert!(url.finish().is_ok());
    }

    #[test]
    fn an_unknown_option_is_named_with_the_known_ones() {
        let mut url = Url::parse("x://h/q?laese=3s").unwrap();
        url.duration("lease").unwrap();
        url.take::<u8>("max").unwrap();

        let error = url.finish().unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("knows no option laese; there are: lease, max"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_telling_secrets() {
        for (text, why) in [
            ("orders", "begin with a scheme"),
            ("redis:secret", "begin with a scheme"),
            ("://h", "its scheme"),
            ("x://u:secret@h/#secret", "%23"),
            ("x://u:secret%ff@h", "encodes no text"),
            ("x://u:secret@h?a=1&a=secret", "a is there twice"),
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        let mut url = Url::parse("x://user:secret@h?lease=secret").unwrap();
        let error = url.duration("lease").unwrap_err();
        assert!(!format!("{error:?}{url}{url:?}").contains("secret"));
    }
}
