//! Requests as bytes: a line with method, path and query, then the body. The edge answers them, as in a server.

use api::routes::{Body, Key, Method};
use api::segments::{BytesWanted, SegmentsWanted};
use api::{ErrorCode, List, Operation, Problem, ROUTES, Route, backtests, installation, packed, requests};
use edge::{Head, Headers};

use crate::Verdict;
use crate::desk::{Desk, HISTORY, check_problem};

/// A request whose route exists.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    head: Head,
    path: &'a str,
    query: &'a str,
    body: &'a [u8],
}

impl<'a> Call<'a> {
    pub(crate) fn read(request: &'a [u8]) -> Result<Self, Problem> {
        let none = || Problem::new(ErrorCode::NotFound, "the input names no route");
        let end = request.iter().position(|&byte| byte == b'\n').unwrap_or(request.len());
        let (line, body) = request.split_at(end);
        let line = std::str::from_utf8(line).map_err(|_bytes| none())?;
        let (method, target) = line.split_once(' ').ok_or_else(none)?;
        let method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            _ => return Err(none()),
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let matches = |route: &&Route| {
            let (mut wanted, mut given) = (route.path.split('/'), path.split('/'));
            let same = wanted.by_ref().zip(given.by_ref()).all(|(a, b)| a == b || a.starts_with('{'));
            route.method == method && same && route.path.split('/').count() == path.split('/').count()
        };
        // A path without parameters takes precedence over one with parameters.
        let route =
            ROUTES.iter().filter(matches).min_by_key(|route| route.path.matches('{').count()).ok_or_else(none)?;
        let head = read_head(route, path, query)?;
        let body = body.get(1..).unwrap_or_default();
        if body.len() > route.body_bytes_max() {
            return Err(Problem::new(ErrorCode::BodyTooLarge, "the body is larger than the limit of the route"));
        }
        Ok(Self { head, path, query, body })
    }

    #[cfg(test)]
    pub(crate) fn is_of(&self, route: &Route) -> bool {
        self.head.route.operation == route.operation
    }

    pub(crate) fn has_packed_body(&self) -> bool {
        matches!(self.head.route.body, Body::Packed { .. })
    }

    pub(crate) fn has_json_body(&self) -> bool {
        matches!(self.head.route.body, Body::Json(_) | Body::Batch(_) | Body::Empty(_))
    }

    /// Answers the request, preceded by a dry run of it if the route supports one.
    pub(crate) fn answer(&self, desk: &Desk) -> Verdict {
        self.check_what_is_written_back();
        if self.head.route.parameters.iter().any(|parameter| parameter.name == "dry_run") {
            let query = format!("{}&dry_run=true", self.query);
            if let Ok(head) = read_head(self.head.route, self.path, &query) {
                desk.answer(&head, self.body);
            }
        }
        match desk.answer(&self.head, self.body) {
            Some(verdict) => verdict,
            None => self.read_elsewhere().err().map_or(Verdict::Accepted, |problem| check_problem(&problem)),
        }
    }

    /// Parses what the server parses of a request that no engine answers.
    fn read_elsewhere(&self) -> Result<(), Problem> {
        let parameters = &self.head.parameters;
        match self.head.route.operation {
            Operation::ConfirmClock => requests::verb(self.body),
            Operation::CreateTenant => installation::new_tenant(self.body).map(drop),
            Operation::SetTenantQuotas => installation::quotas(self.body).map(drop),
            Operation::CreateClient => installation::new_client(self.body).map(drop),
            Operation::PutIssuer => installation::new_issuer(self.body).map(drop),
            Operation::PutRole => installation::new_role(self.body).map(drop),
            Operation::ProveConsistency => {
                parameters.parsed::<u64>("from")?;
                parameters.parsed::<u64>("to").map(drop)
            }
            Operation::ListEvents => {
                parameters.cursor(HISTORY, List::Events)?;
                parameters.limit().map(drop)
            }
            Operation::StartBacktest => backtests::period(parameters).map(drop),
            Operation::ListBacktestPayments => {
                parameters.cursor_if_given::<u128>(HISTORY, List::BacktestPayments)?;
                backtests::PaymentsFilter::read(parameters).map(drop)
            }
            Operation::CancelBacktest => requests::verb(self.body),
            Operation::ListSegments | Operation::ListInstallationSegments => SegmentsWanted::read(parameters).map(drop),
            Operation::ReadSegment | Operation::ReadInstallationSegment => {
                BytesWanted::read(self.head.path_id(), parameters).map(drop)
            }
            // They read no input here, the edge answers them, or another target covers their input.
            Operation::OpenLedger
            | Operation::ListLedgers
            | Operation::GetLedger
            | Operation::GetTrialBalance
            | Operation::OpenAccount
            | Operation::ListAccounts
            | Operation::GetAccount
            | Operation::OpenAccountBatch
            | Operation::CreateTransfer
            | Operation::CreateTransferBatch
            | Operation::ReverseTransfer
            | Operation::SetAddress
            | Operation::SetLimits
            | Operation::SetAccountMetadata
            | Operation::SetTransferMetadata
            | Operation::SetPaymentMetadata
            | Operation::CancelTransfer
            | Operation::ListScheduled
            | Operation::ChooseIndexes
            | Operation::ListAccountTransfers
            | Operation::ListAccountBalances
            | Operation::GetAccountBalance
            | Operation::GetStatement
            | Operation::ListPending
            | Operation::GetAddressBalances
            | Operation::ListTransfers
            | Operation::GetTransfer
            | Operation::CreateAccounts
            | Operation::CreateTransfers
            | Operation::LookupAccounts
            | Operation::LookupTransfers
            | Operation::StartImport
            | Operation::ListImports
            | Operation::GetImport
            | Operation::StageRows
            | Operation::OpenImport
            | Operation::DiscardImport
            | Operation::AccountTransfers
            | Operation::AccountBalances
            | Operation::QueryAccounts
            | Operation::QueryTransfers
            | Operation::GetIndex
            | Operation::CreatePayment
            | Operation::CreatePaymentBatch
            | Operation::ListPayments
            | Operation::GetPayment
            | Operation::GetDecision
            | Operation::GetExplanation
            | Operation::GetPersonalData
            | Operation::GetEntity
            | Operation::ListAudit
            | Operation::ListInstallationAudit
            | Operation::ChangePayment(_)
            | Operation::ChangePaymentBatch
            | Operation::RecordLabel
            | Operation::ActivatePolicy
            | Operation::GetActivePolicy
            | Operation::ListBacktests
            | Operation::GetBacktest
            | Operation::CreateList
            | Operation::ListLists
            | Operation::GetList
            | Operation::DeleteList
            | Operation::AddListValues
            | Operation::RemoveListValues
            | Operation::ListListValues
            | Operation::GetListValue
            | Operation::SetEntityAttributes
            | Operation::CreateApiKey
            | Operation::ListApiKeys
            | Operation::GetApiKey
            | Operation::RevokeApiKey
            | Operation::ListTenants
            | Operation::GetTenant
            | Operation::SuspendTenant
            | Operation::ResumeTenant
            | Operation::RemoveTenant
            | Operation::GetApprovalRules
            | Operation::SetApprovalRules
            | Operation::CreateProposal
            | Operation::ListProposals
            | Operation::GetProposal
            | Operation::EndProposal(_)
            | Operation::ListClients
            | Operation::GetClient
            | Operation::RevokeClient
            | Operation::RotateClientSecret
            | Operation::ListIssuers
            | Operation::GetIssuer
            | Operation::RemoveIssuer
            | Operation::ListRoles
            | Operation::RemoveRole
            | Operation::RotateSigningKeys
            | Operation::WithdrawSigningKey
            | Operation::GetIssuerMetadata
            | Operation::GetOpenIdConfiguration
            | Operation::GetIssuerKeys
            | Operation::IssueToken
            | Operation::IntrospectToken
            | Operation::RevokeToken
            | Operation::ProveTransfer
            | Operation::ProvePayment
            | Operation::ProveEntry
            | Operation::GetCheckpoint
            | Operation::GetProofKeys
            | Operation::GetTile
            | Operation::Health
            | Operation::Ready
            | Operation::Metrics
            | Operation::OpenApi => Ok(()),
        }
    }

    /// Checks that a cursor equals the one that its list gives for the position, and that a packed filter encodes as it
    /// was decoded.
    fn check_what_is_written_back(&self) {
        const LISTS: [List; 15] = [
            List::Events,
            List::Accounts,
            List::Scheduled,
            List::Transfers,
            List::AllTransfers,
            List::TransfersByMetadata,
            List::Pending,
            List::Statement,
            List::Payments,
            List::ApiKeys,
            List::Tenants,
            List::Audit,
            List::Proposals,
            List::Settings,
            List::ListValues,
        ];
        for list in LISTS {
            let read = |text: &str| HISTORY.position::<u128>(text, list);
            if let Some(Ok(place)) = self.head.parameters.get("cursor").map(read) {
                assert_eq!(read(&HISTORY.cursor(list, place)), Ok(place), "a cursor is encoded as it was parsed");
            }
        }
        if let Ok(filter) = packed::account_filter(self.body) {
            assert_eq!(
                packed::AccountFilter::decode(&filter.encode()),
                filter,
                "a filter is encoded as it was decoded"
            );
        }
        if let Ok(filter) = packed::query_filter(self.body) {
            assert_eq!(packed::QueryFilter::decode(&filter.encode()), filter, "a filter is encoded as it was decoded");
        }
    }
}

/// Parses the head of a request. A verb gets an idempotency key.
fn read_head(route: &'static Route, path: &str, query: &str) -> Result<Head, Problem> {
    let key: Option<&[u8]> = if route.key == Key::Verb { Some(b"attack") } else { None };
    Head::read(route, path, query, Headers { key, if_match: None })
}
