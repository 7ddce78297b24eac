//! Handlers for ledgers, accounts and single transfers.

use api::filters;
use api::history::{AddressBalances, Sums};
use api::payments::TemplateAccount;
use api::requests::{self, Parsed};
use api::responses::{Account, Ledger, Page, Transfer};
use api::{ErrorCode, List, Problem};
use engine::{Answered, Operation, Refusal, query};
use ledger::AccountPlace;
use types::{RequestId, TransferId};

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, created, found};

pub(crate) async fn open_ledger(call: Call) -> Handled {
    let parsed = requests::ledger(&call.ids(), &call.body)?;
    let (made, book) = call.ask(parsed).await?;
    Ok(created(made, &format!("/v1/ledgers/{}", book.id), &Ledger::from(&book)))
}

pub(crate) async fn list_ledgers(call: Call) -> Handled {
    let items = call.ledgers().await?.iter().map(Ledger::from).collect();
    Ok(found(&Page { items, next_cursor: None }))
}

pub(crate) async fn get_ledger(call: Call) -> Handled {
    let id = requests::ledger_id("id", call.path_id())?;
    let books = call.ledgers().await?;
    let book = books.iter().find(|book| book.id == id).ok_or(Refusal::LedgerNotFound(id))?;
    Ok(found(&Ledger::from(book)))
}

pub(crate) async fn get_account(call: Call) -> Handled {
    let name = requests::path_id(call.path_id())?;
    let reply = call.ask_unnamed(query::Account(name)).await?;
    Ok(found(&call.app.show(|assets| Account::with_details(&reply, assets))?))
}

/// What the accounts of a ledger below an address add up to.
pub(crate) async fn get_address_balances(call: Call) -> Handled {
    let required = |name: &str| {
        let missing = || Problem::new(ErrorCode::InvalidParameter, format!("`{name}` is required")).at(name);
        call.parameters.get(name).ok_or_else(missing)
    };
    let ledger = requests::ledger_id("ledger", required("ledger")?)?;
    let prefix = filters::address_prefix(required("address_prefix")?)?;
    let (book, totals) = call.ask_unnamed(query::AddressSums(ledger, prefix.as_str().into())).await?;
    let sums = Sums::from(&totals);
    Ok(found(&call.app.show(|assets| AddressBalances::new(&prefix, book.id, totals.accounts, &sums, assets))?))
}

pub(crate) async fn list_accounts(call: Call) -> Handled {
    if call.parameters.get("template").is_some() || call.parameters.get("holder").is_some() {
        return find_account(call).await;
    }
    let history = call.app.history();
    let limit = call.parameters.limit()?;
    let after = call.parameters.cursor_if_given(history, List::Accounts)?.map(AccountPlace);
    let filter = Box::new(filters::accounts(&call.parameters)?);
    let query = query::Accounts { filter, after, limit };
    let engine::Page { items: accounts, next } = call.ask_unnamed(query).await?;
    let show = |assets: &_| accounts.iter().map(|account| Account::with_details(account, assets)).collect();
    let items = call.app.show(show)?;
    let next_cursor = next.map(|place| history.cursor(List::Accounts, place.0));
    Ok(found(&Page { items, next_cursor }))
}

/// The account that the active policy keeps under a template, for a holder or alone: one or none.
async fn find_account(call: Call) -> Handled {
    let given = |name| call.parameters.get(name);
    let others = call.route.parameters.iter().map(|parameter| parameter.name);
    let mut others = others.filter(|name| !["template", "holder"].contains(name));
    if let Some(name) = others.find(|name| given(name).is_some()) {
        let detail = "this parameter does not go with `template`, which finds one account or none";
        return Err(Problem::new(ErrorCode::InvalidParameter, detail).at(name).into());
    }
    let Some(template) = given("template") else {
        let detail = "`holder` goes with `template`, which is not given";
        return Err(Problem::new(ErrorCode::InvalidParameter, detail).at("holder").into());
    };
    let policy = call.app.core.policy().ok_or(Refusal::NoActivePolicy)?;
    let holder = given("holder");
    let wanted = TemplateAccount::find(&policy, template, holder)?;
    let token = match (wanted.holders, holder) {
        (Some(kind), Some(value)) => {
            let Some(token) = call.app.core.known_token(kind.name.as_str(), value, kind.personal) else {
                return Ok(found(&Page::<Account> { items: Vec::new(), next_cursor: None }));
            };
            Some(token)
        }
        (_, _) => None,
    };
    let id = engine::account_id(&wanted.template.name, wanted.ledger, token);
    let account = match call.answer(unnamed(query::Account(id.into()))).await? {
        Ok(account) => Some(account),
        Err(Refusal::AccountNotFound(_)) => None,
        Err(refusal) => return Err(refusal.into()),
    };
    let show = |assets: &_| account.iter().map(|account| Account::with_details(account, assets)).collect();
    Ok(found(&Page { items: call.app.show(show)?, next_cursor: None }))
}

pub(crate) async fn get_transfer(call: Call) -> Handled {
    let id: TransferId = requests::path_id(call.path_id())?;
    let transfer = call.ask_unnamed(query::Transfer(id)).await?;
    Ok(found(&call.app.show(|assets| Transfer::any(&transfer, assets))?))
}

/// An operation without an id of its own: a query, or one whose events name themselves.
pub(crate) fn unnamed<O>(operation: O) -> Parsed<O> {
    Parsed { request: RequestId::default(), operation }
}

impl Call {
    /// Asks the engine on the caller's behalf.
    pub(crate) async fn ask<O: Operation>(&self, parsed: Parsed<O>) -> Result<O::Reply, Failure> {
        Ok(self.answer(parsed).await??)
    }

    pub(crate) async fn ask_unnamed<O: Operation>(&self, operation: O) -> Result<O::Reply, Failure> {
        self.ask(unnamed(operation)).await
    }

    /// The answer of the engine, which may be a refusal.
    pub(crate) async fn answer<O: Operation>(&self, parsed: Parsed<O>) -> Result<Answered<O>, Failure> {
        Ok(self.app.core.ask(self.caller.actor, parsed.request, parsed.operation).await?)
    }

    async fn ledgers(&self) -> Result<Vec<ledger::Book>, Failure> {
        self.ask_unnamed(query::Ledgers).await
    }
}
