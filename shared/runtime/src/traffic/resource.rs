//! Which resource a request is about, read from its path.

use std::fmt;

use holdfast_core::url_path::segment;

/// A group and a plural, whatever the version. The group is empty for the core group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// Such as `apps`.
    pub group: String,
    /// Such as `deployments`.
    pub plural: String,
}

impl Resource {
    /// Made of its parts.
    pub fn new(group: impl Into<String>, plural: impl Into<String>) -> Self {
        Self { group: group.into(), plural: plural.into() }
    }

    /// Whether objects of it can hold what nobody may read in a log.
    pub(super) fn is_secret(&self) -> bool {
        self.group.is_empty() && self.plural == "secrets"
    }
}

impl fmt::Display for Resource {
    /// For people: `configmaps`, `deployments.apps`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plural)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// What a path of the API server is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) resource: Resource,
    /// Namespace and name as the path has them; `None` for a collection.
    pub(super) object: Option<String>,
}

impl Target {
    /// That of a request about an object.
    pub(super) fn object(resource: &Resource, namespace: &str, name: &str) -> Self {
        let namespace = if namespace.is_empty() { "".into() } else { segment(namespace) };
        Self { resource: resource.clone(), object: Some(object(&namespace, &segment(name))) }
    }

    /// `None` for all paths that are not about a resource, such as discovery. A subresource counts to its resource.
    pub(super) fn of(path: &str) -> Option<Self> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let _version = parts.next()?;
        let mut rest: Vec<&str> = parts.collect();
        let mut namespace = "";
        // As the API server reads it: `namespaces/x` alone, or with one of its own subresources, is about the Namespace.
        if let ["namespaces", name, plural, ..] = rest[..]
            && !(rest.len() == 3 && matches!(plural, "status" | "finalize") && group.is_empty())
        {
            namespace = name;
            rest.drain(..2);
        }
        let plural = rest.first()?;
        let object = rest.get(1).map(|name| object(namespace, name));
        Some(Self { resource: Resource::new(group, *plural), object })
    }
}

/// How objects of one resource are told apart.
fn object(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_tell_the_resource() {
        for (path, expected) in [
            ("/api/v1/secrets", Some(("", "secrets", None))),
            ("/api/v1/namespaces/x/secrets", Some(("", "secrets", None))),
            ("/api/v1/namespaces/x/secrets/y", Some(("", "secrets", Some("x/y")))),
            ("/api/v1/namespaces/x/pods/y/status", Some(("", "pods", Some("x/y")))),
            ("/api/v1/namespaces", Some(("", "namespaces", None))),
            ("/api/v1/namespaces/x", Some(("", "namespaces", Some("/x")))),
            ("/api/v1/namespaces/x/finalize", Some(("", "namespaces", Some("/x")))),
            ("/api/v1/namespaces/x/status", Some(("", "namespaces", Some("/x")))),
            ("/apis/apps/v1/namespaces/x/deployments/y/scale", Some(("apps", "deployments", Some("x/y")))),
            ("/apis/x7.example.com/v2/parts", Some(("x7.example.com", "parts", None))),
            ("/apis/x7.example.com/v2/wide/z", Some(("x7.example.com", "wide", Some("/z")))),
            ("/apis/x7.example.com/v2/namespaces/x/status/z", Some(("x7.example.com", "status", Some("x/z")))),
            ("/apis/x7.example.com/v2", None),
            ("/apis/x7.example.com", None),
            ("/apis", None),
            ("/api/v1", None),
            ("/version", None),
            ("/", None),
        ] {
            let found = Target::of(path);
            let found = found.as_ref().map(|target| {
                let Target { resource, object } = target;
                (resource.group.as_str(), resource.plural.as_str(), object.as_deref())
            });
            assert_eq!(found, expected, "{path}");
        }
        let resource = Resource::new("", "roles");
        for (namespace, name, path) in [("x", "a b", "/api/v1/namespaces/x/roles/a%20b"), ("", "y", "/api/v1/roles/y")]
        {
            assert_eq!(Target::of(path), Some(Target::object(&resource, namespace, name)), "{path}");
        }
        assert_eq!(Resource::new("apps", "deployments").to_string(), "deployments.apps");
        assert_eq!(Resource::new("", "pods").to_string(), "pods");
    }
}
