//! Why an object is not as its manifest says, and what may be shown of the server's words.

use holdfast_core::key::{Gvk, ObjectKey};
use holdfast_runtime::call::{CallError, withheld};

/// An apply that the server did not accept.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The kind is not served.
    #[error("no matches for kind {:?} in version {:?}", .0.kind, .0.api_version())]
    UnknownKind(Gvk),
    /// The server keeps no objects of the kind, or shows none.
    #[error("objects of kind {} cannot be managed: it is served without the verbs {}", .gvk.group_kind(), .verbs.join(", "))]
    Unmanageable {
        /// The kind.
        gvk: Gvk,
        /// What is missing.
        verbs: Vec<&'static str>,
    },
    /// Nobody can tell whether an autoscaler scales the object, so its replicas may be those of others.
    #[error("it is not known whether a HorizontalPodAutoscaler scales it: {0}")]
    Autoscalers(String),
    /// It is being deleted, so nothing is written to it.
    #[error("it is being deleted; it is created again when it is gone")]
    Terminating,
    /// An update is invalid, and the object is not, or not yet, created again.
    #[error("{why}: {words}")]
    NotRecreated {
        /// Why not.
        why: String,
        /// What may be shown of the server's words.
        words: String,
    },
    /// Somebody writes the object again and again while its external fields are being removed.
    #[error("others keep writing this object")]
    Contended,
    /// The server's words.
    #[error("{0}")]
    Call(#[from] CallError),
}

impl ApplyError {
    /// The body of a request could not be made.
    pub fn body(error: serde_json::Error) -> Self {
        Self::Call(CallError::Failed { what: "make the request".to_owned(), cause: kube::Error::SerdeError(error) })
    }

    /// What may be shown. The server's words can quote the manifest, so for Secrets only what kind of refusal it is, and
    /// which fields it is about.
    pub fn words(&self, object: &ObjectKey) -> String {
        match self {
            Self::Call(error) => words(error, object),
            _ => self.to_string(),
        }
    }

    /// The call that failed, if it was one.
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::Call(error) => Some(error),
            _ => None,
        }
    }

    /// The trouble has begun just now, and may be over at once.
    pub fn is_brief(&self) -> bool {
        self.call().and_then(CallError::deferred).is_some_and(|deferred| deferred.is_brief)
    }

    /// The kind is not served any more, or not in this version: the server knows no such path.
    pub fn is_not_served(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_not_served())
    }

    /// The object that the write was meant for is gone: it carried another uid.
    pub fn is_uid_conflict(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_conflict())
    }
}

/// [`ApplyError::words`] for any call about an object.
pub fn words(error: &CallError, object: &ObjectKey) -> String {
    let CallError::Failed { what, cause: kube::Error::Api(status) } = error else { return error.to_string() };
    if object.kind() != "Secret" || !object.group().is_empty() {
        return error.to_string();
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields: Vec<&str> = causes.map(|cause| cause.field.as_str()).filter(|field| !field.is_empty()).collect();
    let about = if fields.is_empty() { String::new() } else { format!(" about {}", fields.join(", ")) };
    format!("{what}: {}", withheld(status, &about))
}

#[cfg(test)]
mod tests {
    use kube::core::{
        Status,
        response::{StatusCause, StatusDetails},
    };

    use super::*;

    #[test]
    fn refusals_of_secrets_do_not_quote_them() {
        let status = Status {
            code: 422,
            reason: "Invalid".to_owned(),
            message: "Secret \"s\" is invalid: data[k]: Invalid value: \"hunter2\"".to_owned(),
            details: Some(StatusDetails {
                name: "s".to_owned(),
                group: String::new(),
                kind: "Secret".to_owned(),
                uid: String::new(),
                causes: vec![StatusCause {
                    field: "data[k]".to_owned(),
                    message: "hunter2".to_owned(),
                    reason: String::new(),
                }],
                retry_after_seconds: 0,
            }),
            ..Status::default()
        };
        let error =
            ApplyError::Call(CallError::Failed { what: "apply".to_owned(), cause: kube::Error::Api(status.boxed()) });
        let key = |kind: &str| ObjectKey::new("", kind, "d", "s");
        let words = error.words(&key("Secret"));
        assert!(words.starts_with("apply: Invalid (422) about data[k]") && !words.contains("hunter2"), "{words}");
        assert!(error.words(&key("ConfigMap")).contains("hunter2"), "other kinds keep the server's words");
    }
}
