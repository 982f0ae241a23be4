//! Which slots of a pane a batch has touched, without hashing and without clearing the
//! whole. Called by `deduplicate` and `top_n`.

/// slot -> small number, for the duration of one batch.
#[derive(Debug, Default)]
pub struct SlotMarks(Vec<u32>);

const NONE: u32 = u32::MAX;

impl SlotMarks {
    /// Makes room for slots below `slots`. Nothing is marked.
    pub fn begin(&mut self, slots: usize) {
        if self.0.len() < slots {
            self.0.resize(slots, NONE);
        }
    }

    pub fn get(&self, slot: u32) -> Option<usize> {
        match self.0[slot as usize] {
            NONE => None,
            number => Some(number as usize),
        }
    }

    pub fn set(&mut self, slot: u32, number: usize) {
        self.0[slot as usize] = number as u32;
    }

    /// Takes the marks off; `marked` must name all marked slots.
    pub fn end(&mut self, marked: impl Iterator<Item = u32>) {
        for slot in marked {
            self.0[slot as usize] = NONE;
        }
    }
}
