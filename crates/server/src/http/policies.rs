//! Handlers that activate a policy and show the active one.

use api::Problem;
use api::responses::Policy;
use engine::query;
use types::RequestId;

use crate::InstallError;
use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, created, found};

pub(crate) async fn activate(call: Call) -> Handled {
    let bundle = api::archive::bundle(&call.body)?;
    let id = RequestId::new(bundle.digest().head_u128());
    let (made, active) = call.app.core.install_policy(call.caller, id, bundle).await?;
    Ok(created(made, "/v1/policies/active", &Policy::from(&active)))
}

pub(crate) async fn get_active(call: Call) -> Handled {
    Ok(found(&Policy::from(&call.ask_unnamed(query::Policy).await?)))
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Problems(problems) => Problem::invalid_policy(problems).into(),
            InstallError::Refused(refusal) => refusal.into(),
            InstallError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}
