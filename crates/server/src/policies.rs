//! Policies that were active earlier, for explanations: found in the journal, compiled, and kept for a while.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use api::explanations::NoPolicy;
use engine::{ArtifactChunk, Entry, Fact};
use journal::Reader;
use policy::{Bundle, Policy};
use types::{Digest, Seq};

use crate::Core;
use crate::past::PastError;
use crate::readers::{Asker, Pool};

/// Most policies that are kept, besides the active one.
const POLICIES_MAX: usize = 4;

/// Most entries that are read back from an activation to find the parts of its bundle. An upload stores them one after the other, so
/// usually few other entries are between them.
const ENTRIES_READ_MAX: u64 = 250_000;

/// Entries per step back, at first and at most. A frame is decoded again for each step that ends in it, and may have some thousand entries.
const STRIDE_ENTRIES: (u64, u64) = (256, 8_192);

/// A compiled policy, or why there is none.
type Known = Result<Arc<Policy>, NoPolicy>;

/// The policies that were last asked for, by the entry that activated each, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    kept: Mutex<VecDeque<(Seq, Known)>>,
}

impl Policies {
    fn get(&self, activated: Seq) -> Option<Known> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(seq, _)| *seq == activated)?;
        let found = kept.remove(place)?;
        let known = found.1.clone();
        kept.push_front(found);
        Some(known)
    }

    fn keep(&self, activated: Seq, known: &Known) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(POLICIES_MAX.saturating_sub(1));
        kept.push_front((activated, known.clone()));
    }
}

impl Core {
    /// Runs a job on a blocking thread, with the policy that the entry `activated` activated, whose bundle has the digest `artifact`.
    ///
    /// # Errors
    /// If the journal cannot be read, or nobody waits for the answer any more.
    pub(crate) async fn with_policy<T: Send + 'static>(
        &self,
        activated: Seq,
        artifact: Digest,
        job: impl FnOnce(Result<&Policy, &NoPolicy>) -> T + Send + 'static,
    ) -> Result<T, PastError> {
        let policies = &self.shared().policies;
        let active = self.policy().filter(|policy| policy.digest() == artifact);
        let known = match active.map(Ok).or_else(|| policies.get(activated)) {
            Some(known) => known,
            None => self.found_policy(activated, artifact).await?,
        };
        self.past_job(&self.shared().readers.explanations, move |_asker| Ok(job(known.as_deref()))).await
    }

    /// Looks for an earlier policy. Its pool has one permit, so that two explanations do not compile the same one, and others do not wait.
    async fn found_policy(&self, activated: Seq, artifact: Digest) -> Result<Known, PastError> {
        let core = self.clone();
        let find = move |asker: &Asker| {
            let policies = &core.shared().policies;
            if let Some(known) = policies.get(activated) {
                return Ok(known);
            }
            let found = stored_bundle(&core.shared().reader, activated, artifact, ENTRIES_READ_MAX, asker)?;
            let known = found.and_then(|bytes| compiled(&bytes, artifact));
            policies.keep(activated, &known);
            Ok(known)
        };
        self.past_job(&self.shared().readers.policies, find).await
    }

    async fn past_job<T: Send + 'static>(
        &self,
        pool: &Pool,
        job: impl FnOnce(&Asker) -> Result<T, PastError> + Send + 'static,
    ) -> Result<T, PastError> {
        let done = pool.run(job).await;
        let done = done.unwrap_or_else(|panicked| Err(journal::Fault::Poisoned(panicked.to_string()).into()));
        done.inspect_err(|error| self.note_unread(error))
    }
}

/// Compiles a bundle that was accepted before.
fn compiled(bytes: &[u8], artifact: Digest) -> Known {
    let bundle = Bundle::from_bytes(bytes).map_err(|error| NoPolicy::NotCompiled(error.to_string()))?;
    if bundle.digest() != artifact {
        return Err(NoPolicy::Incomplete);
    }
    let first = |problems: Vec<policy::Problem>| problems.first().map(ToString::to_string).unwrap_or_default();
    Policy::recompile(&bundle).map(Arc::new).map_err(|problems| NoPolicy::NotCompiled(first(problems)))
}

/// Reads the parts of the bundle that the entry `activated` activated. An activation drops the parts of all other bundles, so they were
/// stored after the activation before this one.
fn stored_bundle<R: Reader>(
    reader: &R,
    activated: Seq,
    artifact: Digest,
    entries_max: u64,
    asker: &Asker,
) -> Result<Result<Vec<u8>, NoPolicy>, PastError> {
    let mut parts = Parts { artifact, count: None, found: BTreeMap::new() };
    // The first entry that was looked at.
    let mut reached = activated;
    let (mut stride_max, longest) = STRIDE_ENTRIES;
    while reached > Seq::new(1) {
        let looked_at = activated.get().saturating_sub(reached.get());
        let stride = stride_max.min(entries_max.saturating_sub(looked_at));
        stride_max = stride_max.saturating_mul(2).min(longest);
        if stride == 0 {
            return Ok(Err(NoPolicy::TooFarBack(entries_max)));
        }
        let first = Seq::new(reached.get().saturating_sub(stride).max(1));
        let mut entries: Vec<Entry> = Vec::new();
        let mut next = first;
        while next < reached {
            if asker.is_gone() {
                return Err(PastError::Abandoned);
            }
            let mut read = reader.read(next)?;
            read.retain(|entry| entry.header.seq < reached);
            let Some(last) = read.last().map(|entry| entry.header.seq) else { break };
            // A frame may contain thousands of transfers.
            read.retain(|entry| matches!(entry.fact, Fact::ArtifactStored(_) | Fact::PolicyActivated(_)));
            entries.append(&mut read);
            next = last.next();
        }
        for entry in entries.iter().rev() {
            if let Fact::ArtifactStored(chunk) = &entry.fact {
                parts.add(chunk);
            }
            if parts.are_all() {
                return Ok(Ok(parts.joined()));
            }
            if let Fact::PolicyActivated(_) = &entry.fact {
                return Ok(Err(NoPolicy::Incomplete));
            }
        }
        reached = first;
    }
    Ok(Err(NoPolicy::Incomplete))
}

/// The parts of a bundle that were found so far.
struct Parts {
    artifact: Digest,
    count: Option<u32>,
    found: BTreeMap<u32, Arc<[u8]>>,
}

impl Parts {
    /// Adds a part, unless it is one of another artifact, or a later one was found.
    fn add(&mut self, chunk: &ArtifactChunk) {
        if chunk.artifact == self.artifact {
            self.count.get_or_insert(chunk.count);
            self.found.entry(chunk.index).or_insert_with(|| Arc::clone(&chunk.bytes));
        }
    }

    fn are_all(&self) -> bool {
        self.count.is_some_and(|count| self.found.len() as u64 >= u64::from(count))
    }

    fn joined(self) -> Vec<u8> {
        self.found.into_values().flat_map(|bytes| bytes.to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use engine::{Header, LabelRecorded, PolicyActivated};
    use journal::Fault;
    use types::{ActorId, PaymentId, RequestId, ShardId, TenantId, Timestamp};

    use super::*;

    /// Entries of a journal, of which each read returns at most three.
    #[derive(Debug, Clone)]
    struct Few(Arc<Vec<Entry>>);

    impl Reader for Few {
        fn durable(&self) -> Seq {
            Seq::new(self.0.len() as u64)
        }

        fn read(&self, from: Seq) -> Result<Vec<Entry>, Fault> {
            Ok(self.0.iter().filter(|entry| entry.header.seq >= from).take(3).cloned().collect())
        }
    }

    /// A journal as words: `x0/2` is the first of two parts of the bundle `x`, `X` activates `x`, `.` is another entry.
    fn journal(words: &str) -> Few {
        let digest = |name: char| Digest::of(name.to_ascii_lowercase().to_string().as_bytes());
        let fact = |word: &str| {
            let mut letters = word.chars();
            let name = letters.next().unwrap_or_default();
            let number = |letter: Option<char>| letter.and_then(|letter| letter.to_digit(10)).unwrap_or_default();
            match name {
                '.' => Fact::LabelRecorded(LabelRecorded {
                    payment: PaymentId::new(1),
                    label: "fraud".parse().expect("a name"),
                    positive: true,
                    updates: Vec::new(),
                }),
                name if name.is_uppercase() => Fact::PolicyActivated(Arc::new(PolicyActivated {
                    artifact: digest(name),
                    name: "p".parse().expect("a name"),
                    features: Vec::new(),
                    models: Vec::new(),
                    lists: Vec::new(),
                    streams: Vec::new(),
                    ledger_facts: Vec::new(),
                })),
                name => {
                    let (index, count) = (number(letters.next()), number(letters.nth(1)));
                    let bytes = word.as_bytes().into();
                    Fact::ArtifactStored(ArtifactChunk { artifact: digest(name), index, count, bytes })
                }
            }
        };
        let entry = |(seq, word): (u64, &str)| Entry {
            header: Header {
                shard: ShardId::new(0),
                seq: Seq::new(seq),
                tenant: TenantId::new(1),
                actor: ActorId::new(1),
                request: RequestId::new(1),
                decided_at: Timestamp::from_ns(seq),
                occurred_at: Timestamp::from_ns(seq),
            },
            fact: fact(word),
            sealed: None,
        };
        Few(Arc::new((1..).zip(words.split_whitespace()).map(entry).collect()))
    }

    /// Looks for the bundle that the entry activates.
    fn found(words: &str, activated: u64, entries_max: u64) -> String {
        let journal = journal(words);
        let entry = journal.0.iter().find(|entry| entry.header.seq.get() == activated).expect("an entry");
        let Fact::PolicyActivated(names) = &entry.fact else { panic!("not an activation: {entry:?}") };
        let read = stored_bundle(&journal, Seq::new(activated), names.artifact, entries_max, &Asker::default());
        match read.expect("the journal is readable") {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(why) => why.name().to_owned(),
        }
    }

    #[test]
    fn the_parts_of_a_bundle_are_found_in_any_order_among_other_entries() {
        assert_eq!(found(". x0/2 . . x1/2 X .", 6, 100), "x0/2x1/2");
        assert_eq!(found("x1/2 . . . . . x0/2 X", 8, 100), "x0/2x1/2");
        // Another upload was begun and given up in between.
        assert_eq!(found("x0/1 y0/2 X y0/2 z0/1 . y1/2 Y", 8, 100), "y0/2y1/2");
    }

    #[test]
    fn parts_before_the_activation_before_do_not_count() {
        assert_eq!(found("x0/1 X y0/1 Y x0/1 X", 6, 100), "x0/1");
        assert_eq!(found("y0/2 x0/1 X y1/2 Y", 5, 100), "policy_incomplete");
        assert_eq!(found("X", 1, 100), "policy_incomplete");
    }

    #[test]
    fn a_search_ends_after_so_many_entries() {
        assert_eq!(found("x0/1 . . . X", 5, 4), "x0/1");
        assert_eq!(found("x0/1 . . . X", 5, 3), "policy_too_far_back");
    }
}
