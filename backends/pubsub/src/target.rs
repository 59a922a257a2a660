//! [`Target`], which topic or subscription a handle is about.

use std::sync::Arc;

use chappe_core::{Error, ErrorKind};

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Topic,
    Subscription,
}

impl Kind {
    /// What it is called in names.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Topic => "topics",
            Self::Subscription => "subscriptions",
        }
    }

    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Subscription => "subscription",
        }
    }
}

/// A topic or a subscription by its whole name, `projects/P/topics/T`.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    kind: Kind,
    name: Arc<str>,
}

impl Target {
    /// Of a whole name, or of its last part in the project of the client.
    pub(crate) fn new(kind: Kind, name: &str, project: Option<&str>) -> Self {
        let name = match project {
            Some(project) if !name.contains('/') => format!("projects/{project}/{}/{name}", kind.plural()),
            _ => name.to_owned(),
        };
        Self { kind, name: name.into() }
    }

    /// What Google calls it.
    pub(crate) fn full(&self) -> &Arc<str> {
        &self.name
    }

    /// The last part of the name.
    pub(crate) fn name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Of another in the same project.
    pub(crate) fn beside(&self, kind: Kind, name: &str) -> Self {
        Self::new(kind, name, self.name.split('/').nth(1))
    }

    /// Checks that the name looks like one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let parts: Vec<&str> = self.name.split('/').collect();
        let (one, many) = (self.kind.singular(), self.kind.plural());
        if let ["projects", project, kind, name] = parts[..]
            && kind == many
            && !project.is_empty()
            && !name.is_empty()
        {
            return Ok(());
        }
        let text = format!(
            "{:?} is not the name of a {one}; it is like projects/my-project/{many}/orders, or orders alone if the \
             client has a project",
            &*self.name
        );
        Err(Error::new(ErrorKind::Invalid, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_in_the_project_of_the_client() {
        let target = Target::new(Kind::Subscription, "orders", Some("shop"));

        assert_eq!(&**target.full(), "projects/shop/subscriptions/orders");
        assert_eq!((target.name(), target.check().is_ok()), ("orders", true));
        assert_eq!(&**target.beside(Kind::Topic, "dead").full(), "projects/shop/topics/dead");
    }

    #[test]
    fn what_is_no_name_is_refused_with_what_would_be() {
        for name in ["", "orders", "projects/p/topics/t", "projects//subscriptions/s", "projects/p/subscriptions/"] {
            let error = Target::new(Kind::Subscription, name, None).check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}");
            assert!(error.to_string().contains("projects/my-project/subscriptions/orders"), "{error}");
        }
    }
}
