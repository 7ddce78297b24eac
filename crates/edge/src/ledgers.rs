//! Opening ledgers; looking up ledgers, accounts, single transfers and pending transfers.

use api::past::{AddressBalances, Sums};
use api::payments::TemplateAccount;
use api::responses::{Account, Ledger, Page, Transfer, TrialBalance};
use api::{List, filters, requests};
use engine::{AccountName, AnyTransfer, Refusal, query};
use ledger::{AccountPlace, PendingState};
use types::{Timestamp, TransferId};
use vault::Keys as _;

use crate::answer::{Edge, Handled, parameter, refused};
use crate::call::{Call, unnamed};
use crate::response::Response;
use crate::sources::Sources;

pub(crate) async fn open_ledger<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = requests::ledger(&edge.ids(call), call.body)?;
    let (made, book) = edge.ask_guarded(call, parsed).await?;
    Ok(Response::created(made, format!("/v1/ledgers/{}", book.id), &Ledger::from(&book)))
}

pub(crate) async fn list_ledgers<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let books = edge.ask_unnamed(call, query::Ledgers).await?;
    Ok(Response::found(&Page { items: books.iter().map(Ledger::from).collect(), next_cursor: None }))
}

pub(crate) async fn get_ledger<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let id = requests::ledger_id("id", call.head.path_id())?;
    let books = edge.ask_unnamed(call, query::Ledgers).await?;
    let book = books.iter().find(|book| book.id == id).ok_or_else(|| refused(Refusal::LedgerNotFound(id)))?;
    Ok(Response::found(&Ledger::from(book)))
}

pub(crate) async fn get_account<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let reply = edge.ask_unnamed(call, query::Account(call.head.id()?)).await?;
    Ok(Response::found(&edge.show(|assets| Account::with_details(&reply, assets))?).tagged(reply.version()))
}

/// The balance sums of the accounts of a ledger below an address.
pub(crate) async fn get_address_balances<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let required = |name: &str| {
        let missing = || parameter(name, format!("`{name}` is required"));
        call.parameters().get(name).ok_or_else(missing)
    };
    let ledger = requests::ledger_id("ledger", required("ledger")?)?;
    let prefix = filters::address_prefix(required("address_prefix")?)?;
    let (book, totals) = edge.ask_unnamed(call, query::AddressSums(ledger, prefix.as_str().into())).await?;
    let sums = Sums::from(&totals);
    let show = |assets: &_| AddressBalances::new(&prefix, book.id, totals.accounts, &sums, assets);
    Ok(Response::found(&edge.show(show)?))
}

pub(crate) async fn list_accounts<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parameters = call.parameters();
    if parameters.get("template").is_some() || parameters.get("holder").is_some() {
        return find_account(edge, call).await;
    }
    let history = edge.installation.history;
    let limit = parameters.limit()?;
    let after = parameters.cursor_if_given(history, List::Accounts)?.map(AccountPlace);
    let filter = Box::new(filters::accounts(parameters)?);
    let page = edge.ask_unnamed(call, query::Accounts { filter, after, limit }).await?;
    let show = |assets: &_| page.items.iter().map(|account| Account::with_details(account, assets)).collect();
    let items = edge.show(show)?;
    let next_cursor = page.next.map(|place| history.cursor(List::Accounts, place.0));
    Ok(Response::found(&Page { items, next_cursor }))
}

/// Finds the account that the active policy keeps for a template, and for a holder if the template has one account per
/// holder.
async fn find_account<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let given = |name| call.parameters().get(name);
    let others = call.head.route.parameters.iter().map(|parameter| parameter.name);
    let mut others = others.filter(|name| !["template", "holder"].contains(name));
    if let Some(name) = others.find(|name| given(name).is_some()) {
        let detail = "this parameter does not go with `template`, which finds one account or none";
        return Err(parameter(name, detail).into());
    }
    let template =
        given("template").ok_or_else(|| parameter("holder", "`holder` goes with `template`, which is not given"))?;
    let policy = edge.sources.policy().ok_or_else(|| refused(Refusal::NoActivePolicy))?;
    let wanted = TemplateAccount::find(&policy, template, given("holder"))?;
    let token = match &wanted.holder {
        Some((kind, value)) => {
            let (tenant, name) = (edge.installation.tenant, kind.name.as_str());
            let Some(token) = edge.sources.keys().known_token(tenant, name, value, kind.personal) else {
                return Ok(Response::found(&Page::<Account> { items: Vec::new(), next_cursor: None }));
            };
            Some(token)
        }
        None => None,
    };
    let id = engine::account_id(&wanted.template.name, wanted.ledger, token);
    let account = match edge.answer_to(call, unnamed(query::Account(id.into()))).await? {
        Ok(account) => Some(account),
        Err(Refusal::AccountNotFound(_)) => None,
        Err(refusal) => return Err(refused(refusal)),
    };
    let show = |assets: &_| account.iter().map(|account| Account::with_details(account, assets)).collect();
    Ok(Response::found(&Page { items: edge.show(show)?, next_cursor: None }))
}

pub(crate) async fn get_transfer<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let id: TransferId = call.head.id()?;
    let transfer = edge.ask_unnamed(call, query::Transfer(id)).await?;
    let response = Response::found(&edge.show(|assets| Transfer::any(&transfer, assets))?);
    Ok(match transfer {
        AnyTransfer::Made(reply) => response.tagged(reply.version()),
        AnyTransfer::Scheduled(_) => response,
    })
}

/// The current trial balance of a ledger.
pub(crate) async fn get_trial_balance<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let id = requests::ledger_id("id", call.head.path_id())?;
    let (book, totals) = edge.ask_unnamed(call, query::TrialBalance(id)).await?;
    Ok(Response::found(&TrialBalance::new(&book, None, totals.accounts, &Sums::from(&totals))))
}

pub(crate) async fn list_pending<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let (history, parameters) = (edge.installation.history, call.parameters());
    let account = match parameters.parsed("account")? {
        Some(name) => Some(edge.account(call, name).await?.id),
        None => None,
    };
    let ledger = parameters.get("ledger").map(|text| requests::ledger_id("ledger", text)).transpose()?;
    let limit = parameters.limit()?;
    let after = Timestamp::from_ns(parameters.cursor(history, List::Pending)?);
    let page = edge.ask_unnamed(call, query::Pending { account, ledger, after, limit }).await?;
    let pending = Some(PendingState::Pending);
    let show = |assets: &_| page.items.iter().map(|transfer| Transfer::new(transfer, pending, assets)).collect();
    let items = edge.show(show)?;
    let next_cursor = page.next.map(|at| history.cursor(List::Pending, at.ns()));
    Ok(Response::found(&Page { items, next_cursor }))
}

impl<S: Sources + Sync> Edge<S> {
    /// Looks up an account by its id or address.
    pub(crate) async fn account(&self, call: &Call<'_>, name: AccountName) -> Result<ledger::Account, S::Failure> {
        Ok(self.ask_unnamed(call, query::Account(name)).await?.account)
    }
}
