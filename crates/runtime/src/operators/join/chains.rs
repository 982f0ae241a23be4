//! A chained hash index over row numbers in order of arrival, from which rows can be taken
//! out again. 64-bit hashes are kept, so a hit is nearly always a match. Called by `side`.

use model::{Error, Result};

/// No row.
pub const END: u32 = u32::MAX;
/// `next` of a row that no lookup may find: removed, or never linked.
const UNLINKED: u32 = u32::MAX - 1;

#[derive(Debug, Default)]
pub struct Chains {
    nodes: Vec<Node>,
    /// Newest row of every chain; the length is a power of two. The low bits of the hash
    /// choose, because the high ones are nearly the same in one subtask (key groups).
    heads: Vec<u32>,
    linked: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    hash: u64,
    next: u32,
    previous: u32,
}

impl Chains {
    /// Appends rows; those for which `links` is false cannot be found.
    pub fn extend(&mut self, hashes: &[u64], links: impl Fn(usize) -> bool) -> Result<()> {
        let first = self.nodes.len();
        let total = first + hashes.len();
        if total >= UNLINKED as usize {
            return Err(Error::user(format!(
                "a join holds {total} rows of one side in one subtask; raise the parallelism, or \
                 let rows expire (state TTL)"
            )));
        }
        self.nodes.extend(hashes.iter().enumerate().map(|(row, hash)| Node {
            hash: *hash,
            next: if links(row) { END } else { UNLINKED },
            previous: END,
        }));
        if total > self.heads.len() {
            self.heads.clear();
            self.heads.resize((total + total / 2).next_power_of_two().max(16), END);
            self.linked = 0;
            self.link(0);
        } else {
            self.link(first);
        }
        Ok(())
    }

    fn link(&mut self, from: usize) {
        let mask = self.heads.len() - 1;
        for row in from..self.nodes.len() {
            let node = &mut self.nodes[row];
            if node.next == UNLINKED {
                continue;
            }
            let head = &mut self.heads[node.hash as usize & mask];
            let next = std::mem::replace(head, row as u32);
            node.next = next;
            node.previous = END;
            if next != END {
                self.nodes[next as usize].previous = row as u32;
            }
            self.linked += 1;
        }
    }

    /// Takes a row out of its chain.
    pub fn unlink(&mut self, row: u32) {
        let Node { hash, next, previous } = self.nodes[row as usize];
        if next == UNLINKED {
            return;
        }
        if previous == END {
            let mask = self.heads.len() - 1;
            self.heads[hash as usize & mask] = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next != END {
            self.nodes[next as usize].previous = previous;
        }
        self.nodes[row as usize].next = UNLINKED;
        self.linked -= 1;
    }

    /// How many rows were appended.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How many rows can be found.
    pub fn linked(&self) -> usize {
        self.linked
    }

    pub fn is_linked(&self, row: u32) -> bool {
        self.nodes[row as usize].next != UNLINKED
    }

    pub fn hash(&self, row: u32) -> u64 {
        self.nodes[row as usize].hash
    }

    /// The newest row of the chain that `hash` belongs to, whatever its hash. To be called
    /// for many hashes at once, so that the cache misses overlap.
    #[inline]
    pub fn head(&self, hash: u64) -> u32 {
        match self.heads.len() {
            0 => END,
            len => self.heads[hash as usize & (len - 1)],
        }
    }

    /// From `row` on (itself included), the first row with this hash.
    #[inline]
    pub fn seek(&self, mut row: u32, hash: u64) -> u32 {
        while row != END {
            let node = &self.nodes[row as usize];
            if node.hash == hash {
                return row;
            }
            row = node.next;
        }
        END
    }

    /// The next older row with this hash.
    #[inline]
    pub fn following(&self, row: u32, hash: u64) -> u32 {
        self.seek(self.nodes[row as usize].next, hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(chains: &Chains, hash: u64) -> Vec<u32> {
        let mut rows = Vec::new();
        let mut row = chains.seek(chains.head(hash), hash);
        while row != END {
            rows.push(row);
            row = chains.following(row, hash);
        }
        rows
    }

    #[test]
    fn finds_what_is_linked_newest_first() {
        let mut chains = Chains::default();
        // 1 and 17 share a chain of 16.
        chains.extend(&[1, 17, 1, 5, 1], |row| row != 3).unwrap();
        assert_eq!(found(&chains, 1), [4, 2, 0]);
        assert_eq!(found(&chains, 17), [1]);
        assert!(found(&chains, 5).is_empty());
        for (gone, left) in [(2, vec![4, 0]), (4, vec![0]), (0, vec![])] {
            chains.unlink(gone);
            chains.unlink(gone);
            assert_eq!(found(&chains, 1), left);
        }
        assert_eq!((chains.linked(), found(&chains, 17)), (1, vec![1]));
        let many: Vec<u64> = (0..100).collect();
        chains.extend(&many, |_| true).unwrap();
        assert_eq!((found(&chains, 17), found(&chains, 1)), (vec![22, 1], vec![6]));
        assert_eq!((chains.len(), chains.linked()), (105, 101));
    }
}
