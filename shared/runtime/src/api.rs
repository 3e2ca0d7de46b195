//! Requests about objects: the one way from names to URLs, and from answers to objects.
//!
//! kube's own [`kube::Api`] puts names and namespaces into URLs as they are, so that `victim#1` leads to `victim`, and takes
//! whatever object comes back. [`Api`] has its methods, and promises:
//! * Each segment of a path is encoded (`holdfast_core::url_path`). No request leads to another path than the one that was
//!   meant. An object whose name cannot be in a path is not there (404), without a request.
//! * An answer about another object than the one that was asked for is an error ([`Mismatch`]).
//!
//! `clippy.toml` bans kube's own type and its methods everywhere else.

use std::borrow::Cow;
use std::fmt::Debug;

use holdfast_core::url_path::{self, SegmentError, segment};
use kube::api::{DeleteParams, ListParams, ObjectList, Patch, PatchParams, PostParams};
use kube::core::response::{StatusDetails, StatusSummary};
use kube::core::{ApiResource, DynamicResourceScope, NamespaceResourceScope, PartialObjectMeta, Status};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What kube's watchers take: the objects of a kind, in one namespace or in all. Not to be asked for single objects: it would
/// put their names into URLs as they are.
#[allow(clippy::disallowed_types, reason = "no name gets into it but a namespace, which is encoded")]
pub type Collection<K> = kube::Api<K>;

/// The objects of a kind, in one namespace or in all.
#[derive(Clone)]
pub struct Api<K> {
    collection: Collection<K>,
    /// As it was given; `None` for objects in no namespace and for lists of all namespaces.
    namespace: Option<String>,
}

/// The answer is about another object than the one that was asked for: whatever is done with it would hit the wrong one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("asked for {requested:?}, the API server's answer is about {answered:?}; nothing is done with it")]
pub struct Mismatch {
    /// Namespace, slash and name, or the name alone.
    pub requested: String,
    /// The same of the answer.
    pub answered: String,
}

impl<K> Api<K>
where
    K: Resource,
    K::DynamicType: Default,
{
    /// Objects in no namespace, or those of all namespaces to be listed.
    pub fn all(client: Client) -> Self {
        Self { collection: Collection::all(client), namespace: None }
    }

    /// Objects of a namespace.
    pub fn namespaced(client: Client, namespace: &str) -> Self
    where
        K: Resource<Scope = NamespaceResourceScope>,
    {
        let collection = Collection::namespaced(client, &segment(namespace));
        Self { collection, namespace: Some(namespace.to_owned()) }
    }
}

impl<K: Resource<DynamicType = ApiResource>> Api<K> {
    /// As [`Api::all`], of a kind that is known at run time only.
    pub fn all_with(client: Client, resource: &ApiResource) -> Self {
        Self { collection: Collection::all_with(client, &path_of(resource)), namespace: None }
    }

    /// As [`Api::namespaced`], of a kind that is known at run time only.
    pub fn namespaced_with(client: Client, namespace: &str, resource: &ApiResource) -> Self
    where
        K: Resource<Scope = DynamicResourceScope>,
    {
        let collection = Collection::namespaced_with(client, &segment(namespace), &path_of(resource));
        Self { collection, namespace: Some(namespace.to_owned()) }
    }
}

/// The resource with the segments that a path is made of.
fn path_of(resource: &ApiResource) -> ApiResource {
    let (group, version) = (segment(&resource.group), segment(&resource.version));
    let is_core = resource.group.is_empty();
    ApiResource {
        api_version: if is_core { version.to_string() } else { format!("{group}/{version}") },
        group: if is_core { String::new() } else { group.into_owned() },
        version: version.into_owned(),
        kind: resource.kind.clone(),
        plural: segment(&resource.plural).into_owned(),
    }
}

impl<K: Clone> Api<K> {
    /// For watchers, and for what is done to all objects at once.
    pub fn collection(&self) -> Collection<K> {
        self.collection.clone()
    }
}

impl<K: Resource> Api<K> {
    /// The path of an object, for a request that is made by hand.
    ///
    /// # Errors
    /// No object has this name.
    pub fn path(&self, name: &str) -> kube::Result<String> {
        let name = self.segment(name)?;
        Ok(format!("{}/{name}", self.collection.resource_url()))
    }

    fn segment<'a>(&self, name: &'a str) -> kube::Result<Cow<'a, str>> {
        let checked = url_path::check(name).and(self.namespace.as_deref().map_or(Ok(()), url_path::check));
        checked.map(|()| segment(name)).map_err(|why| not_found(&self.shown(name), why))
    }

    fn shown(&self, name: &str) -> String {
        shown(self.namespace.as_deref(), name)
    }

    /// The answer if it is about the object that was asked for.
    fn checked<A: Resource>(&self, name: &str, answer: A) -> kube::Result<A> {
        let namespace = answer.meta().namespace.as_deref().filter(|namespace| !namespace.is_empty());
        let answered = answer.meta().name.as_deref().unwrap_or_default();
        if answered == name && namespace == self.namespace.as_deref() {
            return Ok(answer);
        }
        let (requested, answered) = (self.shown(name), shown(namespace, answered));
        Err(kube::Error::Service(Box::new(Mismatch { requested, answered })))
    }
}

fn shown(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// What a server would say if it could be asked.
fn not_found(name: &str, why: SegmentError) -> kube::Error {
    // Without a name, it would mean that the kind is not served.
    let name = format!("{name:?}");
    let status = Status {
        status: Some(StatusSummary::Failure),
        code: 404,
        reason: "NotFound".to_owned(),
        message: format!("there is no object {name}, this cannot be its name: {why}"),
        details: Some(StatusDetails {
            name,
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        }),
        ..Status::default()
    };
    kube::Error::Api(status.boxed())
}

#[allow(clippy::disallowed_methods, reason = "names are encoded here")]
impl<K> Api<K>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    /// Reads an object.
    ///
    /// # Errors
    /// There is none (404), the server refuses, or its answer cannot be used.
    pub async fn get(&self, name: &str) -> kube::Result<K> {
        self.checked(name, self.collection.get(&self.segment(name)?).await?)
    }

    /// Reads an object; `None` if there is none.
    ///
    /// # Errors
    /// The server refuses, or its answer cannot be used.
    pub async fn get_opt(&self, name: &str) -> kube::Result<Option<K>> {
        match self.get(name).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists objects.
    ///
    /// # Errors
    /// The server refuses, or its answer cannot be used.
    pub async fn list(&self, params: &ListParams) -> kube::Result<ObjectList<K>> {
        self.collection.list(params).await
    }

    /// Creates an object. Its name is in its body.
    ///
    /// # Errors
    /// It is there (409), the server refuses, or its answer cannot be used.
    pub async fn create(&self, params: &PostParams, object: &K) -> kube::Result<K>
    where
        K: Serialize,
    {
        let answer = self.collection.create(params, object).await?;
        match object.meta().name.as_deref() {
            Some(name) if !name.is_empty() => self.checked(name, answer),
            // What is only asked, such as a SubjectAccessReview, and what the server names.
            _ => Ok(answer),
        }
    }

    /// Changes an object, or applies it.
    ///
    /// # Errors
    /// The server refuses, or its answer cannot be used.
    pub async fn patch<P: Serialize + Debug>(
        &self,
        name: &str,
        params: &PatchParams,
        patch: &Patch<P>,
    ) -> kube::Result<K> {
        self.checked(name, self.collection.patch(&self.segment(name)?, params, patch).await?)
    }

    /// As [`Api::patch`], of which only the metadata comes back.
    ///
    /// # Errors
    /// As [`Api::patch`].
    pub async fn patch_metadata<P: Serialize + Debug>(
        &self,
        name: &str,
        params: &PatchParams,
        patch: &Patch<P>,
    ) -> kube::Result<PartialObjectMeta<K>> {
        let answer = self.collection.patch_metadata(&self.segment(name)?, params, patch).await?;
        self.checked(name, answer)
    }

    /// Changes the status of an object.
    ///
    /// # Errors
    /// As [`Api::patch`].
    pub async fn patch_status<P: Serialize + Debug>(
        &self,
        name: &str,
        params: &PatchParams,
        patch: &Patch<P>,
    ) -> kube::Result<K> {
        self.checked(name, self.collection.patch_status(&self.segment(name)?, params, patch).await?)
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// It has changed since it was read (409), the server refuses, or its answer cannot be used.
    pub async fn replace(&self, name: &str, params: &PostParams, object: &K) -> kube::Result<K>
    where
        K: Serialize,
    {
        self.checked(name, self.collection.replace(&self.segment(name)?, params, object).await?)
    }

    /// Replaces an object through a subresource.
    ///
    /// # Errors
    /// As [`Api::replace`].
    pub async fn replace_subresource(
        &self,
        subresource: &str,
        name: &str,
        params: &PostParams,
        object: &K,
    ) -> kube::Result<K>
    where
        K: Serialize,
    {
        let (subresource, encoded) = (segment(subresource), self.segment(name)?);
        self.checked(name, self.collection.replace_subresource(&subresource, &encoded, params, object).await?)
    }

    /// Creates what a subresource gives.
    ///
    /// # Errors
    /// The server refuses, or its answer cannot be used.
    pub async fn create_subresource<I: Serialize, O: DeserializeOwned>(
        &self,
        subresource: &str,
        name: &str,
        params: &PostParams,
        body: &I,
    ) -> kube::Result<O> {
        self.collection.create_subresource(&segment(subresource), &self.segment(name)?, params, body).await
    }

    /// Deletes an object. Returns it while something holds it, and nothing when it is gone.
    ///
    /// # Errors
    /// There is none (404), the server refuses, or its answer cannot be used.
    pub async fn delete(&self, name: &str, params: &DeleteParams) -> kube::Result<Option<K>> {
        let answer = self.collection.delete(&self.segment(name)?, params).await?.left();
        // It has happened: only an answer that names another object is worth an error.
        let Some(object) = answer.filter(|object| object.meta().name.is_some()) else { return Ok(None) };
        self.checked(name, object).map(Some)
    }
}

impl<K: Resource> Debug for Api<K> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Api").field(&self.collection.resource_url()).finish()
    }
}

#[cfg(test)]
mod tests;
