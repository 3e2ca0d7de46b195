//! The key of the digests in `status.resources`, from a Secret in our namespace.

use std::collections::BTreeMap;

use holdfast_core::digest::Key;
use holdfast_runtime::{
    api::Api,
    call::{CallError, DEFAULT_LIMIT, call},
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
/// a restart everything is then applied once more, which changes nothing.
///
/// # Errors
/// There is no randomness.
pub async fn obtain(client: &Client, namespace: Option<&str>) -> anyhow::Result<Key> {
    let Some(namespace) = namespace else {
        tracing::info!(
            "no namespace of our own is known (--lease-namespace, POD_NAMESPACE): the key of the digests lasts until we end"
        );
        return Ok(Key::new(&random()?));
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    match stored(&api, namespace).await {
        Ok(key) => Ok(Key::new(&key)),
        Err(Problem::Random(error)) => Err(error),
        Err(Problem::Call(error)) => {
            tracing::warn!(%error, "cannot use Secret {namespace}/{SECRET}: the key of the digests lasts until we end");
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
async fn stored(api: &Api<Secret>, namespace: &str) -> Result<Vec<u8>, Problem> {
    let what = |verb: &str| format!("{verb} Secret {namespace}/{SECRET}");
    loop {
        let known = call(DEFAULT_LIMIT, what("get"), api.get_opt(SECRET)).await?;
        if let Some(secret) = &known
            && let Some(ByteString(key)) = secret.data.as_ref().and_then(|data| data.get(DATA_KEY))
            && key.len() >= LENGTH
        {
            return Ok(key.clone());
        }
        let key = random().map_err(Problem::Random)?;
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                resource_version: known.as_ref().and_then(|secret| secret.metadata.resource_version.clone()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(DATA_KEY.to_owned(), ByteString(key.clone()))])),
            type_: known.as_ref().map_or_else(|| Some("Opaque".to_owned()), |secret| secret.type_.clone()),
            ..Secret::default()
        };
        let params = PostParams::default();
        let written = match known {
            Some(_) => call(DEFAULT_LIMIT, what("replace"), api.replace(SECRET, &params, &secret)).await,
            None => call(DEFAULT_LIMIT, what("create"), api.create(&params, &secret)).await,
        };
        match written {
            Ok(_) => return Ok(key),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn random() -> anyhow::Result<Vec<u8>> {
    let mut key = vec![0; LENGTH];
    SystemRandom::new().fill(&mut key).map_err(|_| anyhow::anyhow!("there is no randomness to make a key of"))?;
    Ok(key)
}
