//! The outbox: what activations want delivered to the world outside. An item is stored in the record of the activation
//! that posted it, is handed out once its superstep is durable, and stays until its delivery is reported.

use std::sync::Arc;

use super::recover::{RecoverError, find, read};
use super::slot::Progress;
use super::types::{Entry, Journaling, Outcome, Refused};
use super::{Execution, Gated};
use crate::failure::Failure;
use crate::ids::{ActivationId, Seq};
use crate::journal::{Body, PostImage, Record, StoredPost};

/// An item that is not known to be delivered.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) post: Arc<StoredPost>,
    /// The record that holds it, 0 if there is none, and its place there.
    pub(super) held: (Seq, u32),
    pub(super) hands: Hands,
}

/// Who has an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hands {
    /// It waits to be handed out.
    Ours,
    /// The driver has it, or is given it as soon as what it depends on is durable.
    Drivers,
    /// It could not be delivered in this drive; the next one tries again.
    Tried,
}

impl Execution {
    /// Items that are not known to be delivered, oldest first.
    pub fn outbox(&self) -> impl Iterator<Item = &StoredPost> {
        let own = self.outbox.iter().map(|pending| pending.post.as_ref());
        own.chain(self.nested_outbox())
    }

    /// A running activation posts, before its end is reported.
    pub(super) fn posted(
        &mut self,
        now_ms: u64,
        activation: ActivationId,
        attempt: u32,
        items: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Refused> {
        if !self.is_running(activation, attempt) {
            return Ok(());
        }
        let bytes = items.iter().map(|(kind, payload)| kind.len() + payload.len() + 64).sum();
        if let Err(error) = self.fits(bytes) {
            let message = format!("the items of the outbox cannot be stored: {error}");
            return self.failed(now_ms, activation, attempt, Failure::permanent(error.code(), message), 0);
        }
        let full_id = self.full_id(activation);
        let post = |(place, (kind, payload)): (usize, (String, Vec<u8>))| StoredPost {
            id: format!("{full_id}#{place}"),
            kind,
            payload: payload.into(),
        };
        self.slots[activation.index as usize].extra_mut().posts =
            items.into_iter().enumerate().map(post).collect();
        Ok(())
    }

    /// The items of the superstep that was just committed wait for delivery from now on.
    pub(super) fn collect_posts(&mut self) {
        for slot in &mut self.slots {
            let Some(extra) = slot.extra.as_mut().filter(|extra| !extra.posts.is_empty()) else { continue };
            let seq = if let Progress::Finished { seq, .. } = slot.progress { seq } else { 0 };
            let numbered = extra.posts.drain(..).zip(0..);
            self.outbox.extend(numbered.map(|(post, place)| Pending {
                post: Arc::new(post),
                held: (seq, place),
                hands: Hands::Ours,
            }));
        }
    }

    /// Hands out what nobody delivers yet. What depends on a superstep waits until that is durable, at every level.
    pub(super) fn hand_out_posts(&mut self, now_ms: u64) -> Result<(), Refused> {
        if self.outbox.iter().all(|pending| pending.hands != Hands::Ours) {
            return Ok(());
        }
        if self.options.journaling == Journaling::AtEnd {
            self.write_snapshot(now_ms)?;
        }
        for place in 0..self.outbox.len() {
            let pending = &mut self.outbox[place];
            if pending.hands == Hands::Ours {
                pending.hands = Hands::Drivers;
                let post = pending.post.clone();
                self.gate(Gated::Deliver(post));
            }
        }
        Ok(())
    }

    /// Whether the driver is still to report on an item.
    pub(super) fn delivers(&self) -> bool {
        self.outbox.iter().any(|pending| pending.hands == Hands::Drivers)
            || self.errand && self.delivers_within()
    }

    /// Nobody delivers them, and no entry of this journal holds them.
    pub(super) fn forget_holders(&mut self) {
        for pending in &mut self.outbox {
            (pending.held, pending.hands) = ((0, 0), Hands::Ours);
        }
    }

    /// What is under way is ended with the drive; whoever takes the thread up next delivers it again.
    pub(super) fn take_posts_back(&mut self) {
        self.outbox.iter_mut().for_each(|pending| pending.hands = Hands::Ours);
    }

    /// Nobody wants to wait for what is left of the outbox of a run that is over.
    pub(super) fn leave_outbox(&mut self, now_ms: u64) -> Result<(), Refused> {
        self.gated.retain(|(_, action)| !matches!(action, Gated::Deliver(_)));
        self.take_posts_back();
        self.stop(now_ms, Outcome::Finished)
    }

    /// Somebody wants what is left delivered, and nothing else.
    pub(super) fn deliver(&mut self, now_ms: u64) -> Result<(), Refused> {
        if self.run.is_none() {
            return Err(Refused::NothingOpen { how: "never begun" });
        }
        self.driving = true;
        self.errand = true;
        self.take_posts_back();
        self.hand_out_posts(now_ms)?;
        self.deliver_within(now_ms)?;
        self.settle(now_ms)
    }

    pub(super) fn delivered(&mut self, now_ms: u64, id: &str, delivered: bool) -> Result<(), Refused> {
        let Some(place) =
            self.outbox.iter().position(|pending| pending.post.id == id && pending.hands == Hands::Drivers)
        else {
            let within = self.delivered_within(now_ms, id, delivered);
            return within.map_or(Ok(()), |told| told.and_then(|()| self.settle(now_ms)));
        };
        if delivered {
            self.write(now_ms, || Body::Delivered { id: id.to_owned() })?;
            self.outbox.remove(place);
        } else {
            self.outbox[place].hands = Hands::Tried;
        }
        self.settle(now_ms)
    }

    /// With `whole`, without references to entries.
    pub(super) fn outbox_image(&self, whole: bool) -> Vec<PostImage> {
        let image = |pending: &Pending| match pending.held {
            _ if whole => PostImage::Held(pending.post.as_ref().clone()),
            (0, _) => PostImage::Held(pending.post.as_ref().clone()),
            (seq, place) => PostImage::At(seq, place),
        };
        self.outbox.iter().map(image).collect()
    }

    pub(super) fn load_outbox(
        &mut self,
        images: Vec<PostImage>,
        entries: &[Entry],
    ) -> Result<(), RecoverError> {
        for image in images {
            let (post, held) = match image {
                PostImage::Held(post) => (post, (0, 0)),
                PostImage::At(seq, place) => {
                    let record: Record = read(find(entries, seq)?)?;
                    let post = match record.body {
                        Body::Finished { posts, .. } => posts.into_iter().nth(place as usize),
                        _ => None,
                    };
                    let lost =
                        || RecoverError::Inconsistent { seq, what: "it should hold an item".to_owned() };
                    (post.ok_or_else(lost)?, (seq, place))
                }
            };
            self.outbox.push(Pending { post: Arc::new(post), held, hands: Hands::Ours });
        }
        Ok(())
    }
}

/// The entry that an item of a snapshot refers to.
pub(super) fn held_by(image: &PostImage) -> Option<Seq> {
    match image {
        PostImage::At(seq, _) => Some(*seq),
        PostImage::Held(_) => None,
    }
}
