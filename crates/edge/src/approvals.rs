//! Four eyes: the rules, and proposals.

use api::approvals::{self, Proposal, Rules};
use api::responses::Page;
use api::{List, requests};
use engine::{EndProposal, ProposalEnd, query};
use types::{ProposalId, Seq};

use crate::answer::{Edge, Handled};
use crate::call::Call;
use crate::response::Response;
use crate::sources::Sources;

pub(crate) async fn get_rules<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let reply = edge.ask_unnamed(call, query::ApprovalRules).await?;
    Ok(Response::found(&Rules::from(&*reply)).tagged(reply.version))
}

pub(crate) async fn set_rules<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let (made, reply) = edge.ask_guarded(call, approvals::rules(call.body)?).await?;
    Ok(Response::found(&Rules::from(&*reply)).made(made).tagged(reply.version))
}

pub(crate) async fn propose<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = approvals::proposal(&edge.ids(call), call.body)?;
    let (made, reply) = edge.ask(call, parsed).await?;
    let shown = edge.show(|assets| Proposal::new(&reply, assets))?;
    Ok(Response::created(made, format!("/v1/proposals/{}", reply.proposal.made.proposal), &shown))
}

pub(crate) async fn list<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let history = edge.installation.history;
    let (status, limit) = (approvals::status(call.parameters())?, call.parameters().limit()?);
    let after = Seq::new(call.parameters().cursor(history, List::Proposals)?);
    let page = edge.ask_unnamed(call, query::Proposals { status, after, limit }).await?;
    let show = |assets: &_| page.items.iter().map(|reply| Proposal::new(reply, assets)).collect::<Result<_, _>>();
    let items: Vec<Proposal> = edge.show(show)?;
    let next_cursor = page.next.map(|next| history.cursor(List::Proposals, next.get()));
    Ok(Response::found(&Page { items, next_cursor }))
}

pub(crate) async fn get<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let reply = edge.ask_unnamed(call, query::Proposal(call.head.id()?)).await?;
    Ok(Response::found(&edge.show(|assets| Proposal::new(&reply, assets))?))
}

pub(crate) async fn end<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>, end: ProposalEnd) -> Handled<S::Failure> {
    requests::verb(call.body)?;
    let proposal: ProposalId = call.head.id()?;
    let (made, reply) = edge.ask_unnamed(call, EndProposal { sender: call.sender, proposal, end }).await?;
    Ok(Response::found(&edge.show(|assets| Proposal::new(&reply, assets))?).made(made))
}
