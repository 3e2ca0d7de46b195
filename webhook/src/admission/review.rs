//! The part of `AdmissionReview` v1 of `admission.k8s.io` that we read and write.
//!
//! Own types instead of kube's: objects stay JSON of any kind, and the answer always has a code and a reason.

mod raw_diff;
mod raw_object;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_core::protect::{Operation, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use raw_object::RawObject;

/// How far [`ReviewHeader::scan`] looks, in bytes.
const HEADER_LIMIT: usize = 4096;
const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// Body of a review.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "O: Deserialize<'de>"))]
struct IncomingReview<O> {
    request: Option<Request<O>>,
}

/// A request for a review. Objects are of type `O`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "O: Deserialize<'de>"))]
pub struct Request<O = Value> {
    /// Identifies the review.
    pub uid: String,
    /// Kind of `object`; of the subresource where there is one.
    pub kind: Kind,
    /// The resource in the URL.
    pub resource: Resource,
    /// Empty for the main resource.
    #[serde(default)]
    pub sub_resource: String,
    /// Empty for creations with `generateName` and for collection deletes.
    #[serde(default)]
    pub name: String,
    /// Empty for cluster-scoped objects.
    #[serde(default)]
    pub namespace: String,
    /// The operation.
    pub operation: Verb,
    /// The user.
    #[serde(default)]
    pub user_info: UserInfo,
    /// New state; absent for DELETE.
    #[serde(default)]
    pub object: Option<O>,
    /// Old state; absent for CREATE.
    #[serde(default)]
    pub old_object: Option<O>,
    /// Whether nothing will be stored.
    #[serde(default)]
    pub dry_run: Option<bool>,
}

/// Group, version and kind.
#[derive(Clone, Debug, Deserialize)]
pub struct Kind {
    /// Empty for the core group.
    #[serde(default)]
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
}

/// Group, version and plural.
#[derive(Clone, Debug, Deserialize)]
pub struct Resource {
    /// Empty for the core group.
    #[serde(default)]
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural.
    pub resource: String,
}

/// The user.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UserInfo {
    /// User name.
    #[serde(default)]
    pub username: String,
    /// Groups.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// Identifies the user besides the name.
    #[serde(default)]
    pub uid: Option<String>,
    /// Further information of the authenticator.
    #[serde(default)]
    pub extra: Option<BTreeMap<String, Vec<String>>>,
}

/// Operation in a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// A new object.
    Create,
    /// A change.
    Update,
    /// A deletion.
    Delete,
    /// A connection such as `exec`.
    Connect,
}

impl From<Verb> for Operation {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Create => Self::Create,
            Verb::Update => Self::Update,
            Verb::Delete => Self::Delete,
            Verb::Connect => Self::Connect,
        }
    }
}

/// The body is no review.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Not JSON, or of another shape. The text names field and position, never a value.
    #[error("the body is not an AdmissionReview (line {line}, column {column})")]
    Malformed {
        /// Line of the body, from 1.
        line: usize,
        /// Column of the line, from 1.
        column: usize,
    },
    /// It has no `request`.
    #[error("the AdmissionReview has no request")]
    NoRequest,
}

impl Request {
    /// Reads the body of a review.
    pub fn read(body: &[u8]) -> Result<Self, ReviewError> {
        let incoming: IncomingReview<Value> = serde_json::from_slice(body)
            .map_err(|error| ReviewError::Malformed { line: error.line(), column: error.column() })?;
        incoming.request.ok_or(ReviewError::NoRequest)
    }

    /// Reads a review without the content that is the same before and after ([`raw_diff`]).
    pub fn read_changes(body: &[u8]) -> Result<Self, ReviewError> {
        // UTF-8 is checked once for the whole body.
        if let Ok(text) = std::str::from_utf8(body)
            && let Ok(IncomingReview { request: Some(request) }) =
                serde_json::from_str::<IncomingReview<RawObject<'_>>>(text)
            && let Ok((old, new)) = raw_diff::changed_parts(request.old_object.as_ref(), request.object.as_ref())
        {
            return Ok(request.with_objects(old, new));
        }
        Self::read(body)
    }

    /// The object's name. If the review has none, it is in the object, or the server will generate it.
    pub fn object_name(&self) -> String {
        let of = |object: &Option<Value>, field: &str| {
            object.as_ref()?.pointer(&format!("/metadata/{field}"))?.as_str().map(ToOwned::to_owned)
        };
        if !self.name.is_empty() {
            return self.name.clone();
        }
        of(&self.object, "name")
            .or_else(|| of(&self.old_object, "name"))
            .or_else(|| of(&self.object, "generateName").map(|prefix| format!("{prefix}…")))
            .unwrap_or_default()
    }

    /// Groups of the user.
    pub fn groups(&self) -> &[String] {
        self.user_info.groups.as_deref().unwrap_or_default()
    }

    /// Whether the deletion of the object has begun.
    pub fn is_being_deleted(&self) -> bool {
        let deletion = |object: &Value| object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
        self.object.as_ref().or(self.old_object.as_ref()).is_some_and(deletion)
    }
}

impl<O> Request<O> {
    fn with_objects<P>(self, old_object: Option<P>, object: Option<P>) -> Request<P> {
        let Self { uid, kind, resource, sub_resource, name, namespace, operation, user_info, dry_run, .. } = self;
        Request {
            uid,
            kind,
            resource,
            sub_resource,
            name,
            namespace,
            operation,
            user_info,
            object,
            old_object,
            dry_run,
        }
    }
}

/// The part of a review that an answer without a decision needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewHeader {
    /// The review's uid.
    pub uid: Option<String>,
    /// Whether the review is about the subresource `scale`, which always fails open.
    pub is_scale: bool,
}

impl ReviewHeader {
    /// The header of a parsed review.
    pub fn of(request: &Request) -> Self {
        Self { uid: Some(request.uid.clone()), is_scale: request.sub_resource == "scale" }
    }

    /// Scans the first bytes of a review that was not parsed. The API server writes `request` with `uid` first and the objects last.
    pub fn scan(body: &[u8]) -> Self {
        let head = String::from_utf8_lossy(body.get(..HEADER_LIMIT).unwrap_or(body));
        let Some((_, request)) = head.split_once("\"request\"") else { return Self::default() };
        let before_objects = request.split("\"object\"").next().unwrap_or_default();
        Self {
            uid: string_field(before_objects, "uid").filter(|uid| is_uid(uid)).map(ToOwned::to_owned),
            is_scale: string_field(before_objects, "subResource") == Some("scale"),
        }
    }
}

fn string_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\"{name}\""))?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    value.split_once('"').map(|(value, _)| value)
}

fn is_uid(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutgoingReview<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    /// JSON in Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(rename = "status")]
    outcome: &'static str,
    message: &'a str,
    reason: &'static str,
    code: u16,
}

/// The body of the answer.
pub fn write(uid: &str, verdict: &Verdict) -> Result<Vec<u8>, serde_json::Error> {
    let audit_annotations = verdict.audit();
    let passed = |warnings: &[String], patch: Option<String>| {
        // A warning is an HTTP header: one line.
        let warnings = warnings.iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let patch_type = patch.is_some().then_some("JSONPatch");
        Response { uid, allowed: true, status: None, patch_type, patch, warnings, audit_annotations }
    };
    let response = match verdict {
        Verdict::Allow { warnings, .. } => passed(warnings, None),
        Verdict::Revert { patch, warnings, .. } => passed(warnings, Some(STANDARD.encode(serde_json::to_vec(patch)?))),
        Verdict::Deny { message, .. } => {
            let status = Status { outcome: "Failure", message, reason: "Forbidden", code: 403 };
            let warnings = Vec::new();
            Response {
                uid,
                allowed: false,
                status: Some(status),
                patch_type: None,
                patch: None,
                warnings,
                audit_annotations,
            }
        }
    };
    serde_json::to_vec(&OutgoingReview { api_version: API_VERSION, kind: KIND, response })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_header_has_the_uid_of_the_request_only() {
        let head = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"70-a","kind":{},"#;
        let header = |text: String| ReviewHeader::scan(text.as_bytes());
        let uid = Some("70-a".to_owned());
        assert_eq!(header(format!("{head} \"object\":{{")), ReviewHeader { uid: uid.clone(), is_scale: false });
        assert_eq!(header(format!("{head}\"subResource\" : \"scale\",")), ReviewHeader { uid, is_scale: true });
        assert_eq!(header(r#"{"request":{"object":{"metadata":{"uid":"x"}}"#.to_owned()), ReviewHeader::default());
        assert_eq!(header(r#"{"request":{"uid":"a\"b"}}"#.to_owned()), ReviewHeader::default());
        assert_eq!(header("{\"request\":{\"uid\":\"cut".to_owned()), ReviewHeader::default());
        assert_eq!(ReviewHeader::scan(&[0xff, 0xfe]), ReviewHeader::default());
    }

    #[test]
    fn answers_are_complete() {
        let deny =
            Verdict::Deny { message: "no".to_owned(), audit: BTreeMap::from([("a".to_owned(), "b".to_owned())]) };
        let value: Value = serde_json::from_slice(&write("u", &deny).unwrap()).unwrap();
        assert_eq!(
            value,
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
                "uid": "u", "allowed": false, "auditAnnotations": {"a": "b"},
                "status": {"status": "Failure", "message": "no", "reason": "Forbidden", "code": 403},
            }})
        );
        let allow = Verdict::Allow { warnings: vec!["two\nlines".to_owned()], audit: BTreeMap::new() };
        let value: Value = serde_json::from_slice(&write("u", &allow).unwrap()).unwrap();
        assert_eq!(value["response"], json!({"uid": "u", "allowed": true, "warnings": ["two lines"]}));
        let revert = Verdict::Revert { patch: json!([]), warnings: vec!["w".to_owned()], audit: BTreeMap::new() };
        let value: Value = serde_json::from_slice(&write("u", &revert).unwrap()).unwrap();
        assert_eq!(
            value["response"],
            json!({"uid": "u", "allowed": true, "patchType": "JSONPatch", "patch": "W10=", "warnings": ["w"]})
        );
    }

    #[test]
    fn errors_do_not_quote_the_body() {
        let error = Request::read(br#"{"request":{"uid":"u","kind":"hunter2"}}"#).unwrap_err().to_string();
        assert_eq!(error, "the body is not an AdmissionReview (line 1, column 38)");
        assert_eq!(Request::read(b"{}").unwrap_err().to_string(), "the AdmissionReview has no request");
    }
}
