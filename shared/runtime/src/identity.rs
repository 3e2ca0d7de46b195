//! Who we are to an API server. No right is needed to learn that: everybody may ask.

use k8s_openapi::api::authentication::v1::{SelfSubjectReview, UserInfo};
use kube::Client;
use kube::api::PostParams;

use crate::api::Api;
use crate::call::{CallError, DEFAULT_LIMIT, call};

/// Asks the API server. What it does not say is absent.
///
/// # Errors
/// It gives no answer in time, or refuses.
pub async fn ask(client: &Client) -> Result<UserInfo, CallError> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let (params, question) = (PostParams::default(), SelfSubjectReview::default());
    let answer = call(DEFAULT_LIMIT, "ask who we are", api.create(&params, &question)).await?;
    Ok(answer.status.and_then(|status| status.user_info).unwrap_or_default())
}
