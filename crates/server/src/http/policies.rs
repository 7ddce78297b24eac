//! Handlers that activate a policy and show the active one.

use api::Problem;
use api::responses::Policy;
use engine::{Query, Reply};
use types::RequestId;

use crate::InstallError;
use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, created, found};
use crate::http::ledgers::unexpected;

pub(crate) async fn activate(call: Call) -> Handled {
    let bundle = api::archive::bundle(&call.body)?;
    let id = RequestId::new(bundle.digest().head_u128());
    let Reply::Policy(made, active) = call.app.core.install_policy(call.caller, id, bundle).await? else {
        return Err(unexpected());
    };
    Ok(created(made, "/v1/policies/active", &Policy::from(&active)))
}

pub(crate) async fn get_active(call: Call) -> Handled {
    let Reply::Policy(_, active) = call.query(Query::Policy).await? else { return Err(unexpected()) };
    Ok(found(&Policy::from(&active)))
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
