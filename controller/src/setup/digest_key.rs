//! The key of the digests in `status.resources`, from a Secret in our namespace.

use std::collections::BTreeMap;

use holdfast_core::digest::Key;
use holdfast_runtime::{
    api::Api,
    call::{CallError, DEFAULT_LIMIT, call},
    owner::Owner,
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Client,
    api::{ObjectMeta, PostParams},
};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Name of the Secret.
const SECRET: &str = "holdfast-digest-key";
/// Key in the Secret.
const DATA_KEY: &str = "key";
/// Bytes of a new key.
const LENGTH: usize = 32;

/// Reads the key, or creates it. Without a namespace, or without permission, a key of our own serves until we end; after
/// a restart everything is then applied once more, which changes nothing. What we create goes with `owner`.
///
/// # Errors
/// There is no randomness.
pub async fn obtain(client: &Client, namespace: Option<&str>, owner: Option<&Owner>) -> anyhow::Result<Key> {
    let Some(namespace) = namespace else {
        tracing::info!(
            "no namespace is set (--lease-namespace, POD_NAMESPACE): using a temporary digest key until this process exits"
        );
        return Ok(Key::new(&random()?));
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    match stored(&api, namespace, owner).await {
        Ok(key) => Ok(Key::new(&key)),
        Err(Problem::Random(error)) => Err(error),
        Err(Problem::Call(error)) => {
            tracing::warn!(%error, "cannot use Secret {namespace}/{SECRET}: using a temporary digest key until this process exits");
            Ok(Key::new(&random()?))
        }
    }
}

enum Problem {
    Call(CallError),
    Random(anyhow::Error),
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// The first replica creates the Secret; another that comes at the same time reads what the first one made.
async fn stored(api: &Api<Secret>, namespace: &str, owner: Option<&Owner>) -> Result<Vec<u8>, Problem> {
    let what = |verb: &str| format!("{verb} Secret {namespace}/{SECRET}");
    let params = PostParams::default();
    loop {
        let stored = call(DEFAULT_LIMIT, what("get"), api.get_opt(SECRET)).await?;
        if let Some(secret) = &stored
            && let Some(ByteString(key)) = secret.data.as_ref().and_then(|data| data.get(DATA_KEY))
            && key.len() >= LENGTH
        {
            let mut secret = secret.clone();
            if owner.is_some_and(|owner| owner.adopt(&mut secret.metadata)) {
                // In vain where another replica does it, or where the server wants more rights for it.
                let adopted = call(DEFAULT_LIMIT, what("adopt"), api.replace(SECRET, &params, &secret)).await;
                adopted.map_or_else(|error| tracing::debug!("{error}"), drop);
            }
            return Ok(key.clone());
        }
        let key = random().map_err(Problem::Random)?;
        let content = Some(BTreeMap::from([(DATA_KEY.to_owned(), ByteString(key.clone()))]));
        let written = match stored {
            Some(stored) => {
                let secret = Secret { data: content, ..stored };
                call(DEFAULT_LIMIT, what("replace"), api.replace(SECRET, &params, &secret)).await
            }
            None => call(DEFAULT_LIMIT, what("create"), api.create(&params, &new(content, owner))).await,
        };
        match written {
            Ok(_) => return Ok(key),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn new(data: Option<BTreeMap<String, ByteString>>, owner: Option<&Owner>) -> Secret {
    let metadata = ObjectMeta {
        name: Some(SECRET.to_owned()),
        owner_references: owner.map(Owner::references),
        ..ObjectMeta::default()
    };
    Secret { metadata, data, type_: Some("Opaque".to_owned()), ..Secret::default() }
}

fn random() -> anyhow::Result<Vec<u8>> {
    let mut key = vec![0; LENGTH];
    SystemRandom::new().fill(&mut key).map_err(|_| anyhow::anyhow!("there is no randomness to make a key of"))?;
    Ok(key)
}
