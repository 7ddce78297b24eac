//! Handlers for ledgers, accounts and single transfers.

use api::filters;
use api::history::{AddressBalances, Sums};
use api::payments::TemplateAccount;
use api::requests::{self, Parsed};
use api::responses::{Account, Ledger, Page, Transfer};
use api::{ErrorCode, List, Problem};
use engine::{Command, Made, Query, Refusal, Reply};
use ledger::AccountPlace;
use types::TransferId;

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, created, found, internal};

pub(crate) async fn open_ledger(call: Call) -> Handled {
    let parsed = requests::ledger(&call.ids(), &call.body)?;
    let Reply::Ledger(made, book) = call.ask(parsed).await? else { return Err(unexpected()) };
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
    let Reply::Account(_, reply) = call.query(Query::Account(name)).await? else { return Err(unexpected()) };
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
    let query = Query::AddressSums(ledger, prefix.into());
    let Reply::AddressSums(book, prefix, totals) = call.query(query).await? else { return Err(unexpected()) };
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
    let Reply::AccountsPage { accounts, next } = call.query(Query::Accounts { filter, after, limit }).await? else {
        return Err(unexpected());
    };
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
    let account = match call.app.core.query(call.caller, Query::Account(id.into())).await? {
        Ok(Reply::Account(_, account)) => Some(account),
        Err(Refusal::AccountNotFound(_)) => None,
        Ok(_) => return Err(unexpected()),
        Err(refusal) => return Err(refusal.into()),
    };
    let show = |assets: &_| account.iter().map(|account| Account::with_details(account, assets)).collect();
    Ok(found(&Page { items: call.app.show(show)?, next_cursor: None }))
}

pub(crate) async fn get_transfer(call: Call) -> Handled {
    let id: TransferId = requests::path_id(call.path_id())?;
    let (_, shown) = call.shown_transfer(call.query(Query::Transfer(id)).await?)?;
    Ok(found(&shown))
}

pub(crate) fn unexpected() -> Failure {
    internal("the engine answered something else than was asked")
}

impl Call {
    /// A transfer that was made, or one that waits for its time.
    pub(crate) fn shown_transfer(&self, reply: Reply) -> Result<(Made, Transfer), Failure> {
        if let Reply::Transfer(made, reply) = reply {
            return Ok((made, self.app.show(|assets| Transfer::with_balances(&reply, assets))?));
        }
        let Reply::Scheduled(made, one) = reply else { return Err(unexpected()) };
        Ok((made, self.app.show(|assets| Transfer::scheduled(&one, "scheduled", assets))?))
    }

    /// Asks the engine on the caller's behalf.
    pub(crate) async fn ask(&self, parsed: Parsed<Command>) -> Result<Reply, Failure> {
        Ok(self.app.core.ask(self.request(parsed)).await??)
    }

    /// What the engine is asked on the caller's behalf.
    pub(crate) fn request(&self, parsed: Parsed<Command>) -> engine::Request {
        self.app.core.request(self.caller.actor, parsed.request, parsed.command)
    }

    /// Looks something up on the caller's behalf.
    pub(crate) async fn query(&self, query: Query) -> Result<Reply, Failure> {
        Ok(self.app.core.query(self.caller, query).await??)
    }

    async fn ledgers(&self) -> Result<Vec<ledger::Book>, Failure> {
        let Reply::Ledgers(books) = self.query(Query::Ledgers).await? else { return Err(unexpected()) };
        Ok(books)
    }
}
