//! The volumes of a Pod on disk, kept fresh.
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_runtime::api::Api;
use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, Pod, ProjectedVolumeSource, Volume};
use kube::ResourceExt;
use tracing::warn;

use super::Stage;
use super::environment::{Mounted, field_of};
use super::token::Token;
use super::volume::{self, Content};

const REFRESH: Duration = Duration::from_secs(1);

/// All volumes of a Pod; removed from disk when dropped.
pub(super) struct Mounts {
    stage: Arc<Stage>,
    pod: Pod,
    address: Ipv4Addr,
    directory: PathBuf,
    written: BTreeMap<String, Content>,
    tokens: BTreeMap<(String, String), Token>,
    version: u64,
}

impl Mounts {
    pub(super) fn new(stage: Arc<Stage>, pod: Pod, address: Ipv4Addr) -> Self {
        let directory = stage.directory.join("volumes").join(pod.uid().unwrap_or_default());
        Self { stage, pod, address, directory, written: BTreeMap::new(), tokens: BTreeMap::new(), version: 0 }
    }

    /// Writes what has changed in the volumes' sources.
    ///
    /// # Errors
    /// A source is missing or of a kind that is not played; what was written before stays.
    pub(super) async fn refresh(&mut self) -> Result<()> {
        let volumes = self.pod.spec.as_ref().and_then(|spec| spec.volumes.clone()).unwrap_or_default();
        for volume in volumes {
            let directory = self.directory.join(&volume.name);
            fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
            let content = self.content(&volume).await.with_context(|| format!("the volume {}", volume.name))?;
            if let Some(content) = content
                && self.written.get(&volume.name) != Some(&content)
            {
                self.version += 1;
                volume::write(&directory, &content, self.version)?;
                self.written.insert(volume.name.clone(), content);
            }
        }
        Ok(())
    }

    /// Refreshes every second, for ever. Failures are logged.
    pub(super) async fn keep_fresh(&mut self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(REFRESH).await;
            if let Err(error) = self.refresh().await {
                let pod = self.pod.name_any();
                warn!(pod, error = format!("{error:#}"), "the volumes were not refreshed; what was there stays");
            }
        }
    }

    /// Where a container finds its volumes.
    ///
    /// # Errors
    /// It mounts a part of one, which is not played.
    pub(super) fn of(&self, container: &Container) -> Result<Mounted> {
        let mut mounts = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            if mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
                bail!("the player does not know subPath (mount {})", mount.mount_path);
            }
            mounts.push((mount.mount_path.clone(), self.directory.join(&mount.name)));
        }
        Ok(Mounted::new(mounts))
    }

    /// The files of a volume; `None` for one that is the program's own.
    async fn content(&mut self, volume: &Volume) -> Result<Option<Content>> {
        let client = self.stage.client.clone();
        let namespace = self.pod.namespace().unwrap_or_default();
        if volume.empty_dir.is_some() {
            Ok(None)
        } else if let Some(source) = &volume.secret {
            let api = Api::namespaced(client, &namespace);
            let name = source.secret_name.as_deref().unwrap_or_default();
            volume::secret(&api, name, source.items.as_deref(), source.optional).await.map(Some)
        } else if let Some(source) = &volume.config_map {
            let api = Api::namespaced(client, &namespace);
            volume::config_map(&api, &source.name, source.items.as_deref(), source.optional).await.map(Some)
        } else if let Some(source) = &volume.projected {
            self.projected(&volume.name, source).await.map(Some)
        } else if let Some(source) = &volume.downward_api {
            self.downward(source.items.as_deref()).map(Some)
        } else {
            bail!("the player knows emptyDir, secret, configMap, projected and downwardAPI volumes only")
        }
    }

    async fn projected(&mut self, volume: &str, source: &ProjectedVolumeSource) -> Result<Content> {
        let client = self.stage.client.clone();
        let namespace = self.pod.namespace().unwrap_or_default();
        let mut content = Content::new();
        for part in source.sources.iter().flatten() {
            if let Some(secret) = &part.secret {
                let api = Api::namespaced(client.clone(), &namespace);
                content.extend(volume::secret(&api, &secret.name, secret.items.as_deref(), secret.optional).await?);
            } else if let Some(map) = &part.config_map {
                let api = Api::namespaced(client.clone(), &namespace);
                content.extend(volume::config_map(&api, &map.name, map.items.as_deref(), map.optional).await?);
            } else if let Some(downward) = &part.downward_api {
                content.extend(self.downward(downward.items.as_deref())?);
            } else if let Some(projection) = &part.service_account_token {
                let key = (volume.to_owned(), projection.path.clone());
                let secret = self.stage.roster.token_secret(&self.pod.uid().unwrap_or_default());
                let token = match self.tokens.get(&key).filter(|token| !token.is_due(secret.as_deref())) {
                    Some(token) => token.clone(),
                    None => Box::pin(Token::request(&client, &self.pod, projection, secret)).await?,
                };
                content.insert(projection.path.clone(), token.text.clone().into_bytes());
                self.tokens.insert(key, token);
            } else {
                bail!("the player does not know one of the projected sources");
            }
        }
        Ok(content)
    }

    fn downward(&self, items: Option<&[DownwardAPIVolumeFile]>) -> Result<Content> {
        let mut content = Content::new();
        for item in items.unwrap_or_default() {
            let field = item.field_ref.as_ref().context("the player knows fields only")?;
            content.insert(item.path.clone(), field_of(&self.pod, self.address, &field.field_path)?.into_bytes());
        }
        Ok(content)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
