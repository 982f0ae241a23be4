//! Static text that rows point into instead of copying: random letters and words, and the
//! channels and URLs of bids. Built once per process. Called by `columns.rs`.

use std::sync::LazyLock;

use arrow::array::ByteView;
use arrow::buffer::Buffer;

use super::event::Random;

/// Bytes in each pool of random text.
pub(super) const POOL: u64 = 1 << 20;
pub(super) const CHANNELS: usize = 10_000;
const HOT: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// A byte pool and the buffer over it that arrays share.
pub(super) struct Text {
    pub(super) buffer: Buffer,
}

impl Text {
    /// A view of `length` bytes from `offset`.
    #[inline]
    pub(super) fn view(&self, offset: u64, length: u64) -> u128 {
        view_into(self.buffer.as_slice(), offset as usize, length as usize)
    }

    /// As [`Self::view`], for more than 12 bytes.
    #[inline]
    pub(super) fn long_view(&self, offset: u64, length: u64) -> u128 {
        let start = offset as usize;
        let bytes = &self.buffer.as_slice()[start..start + 4];
        let prefix = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        debug_assert!(length > 12 && offset + length <= POOL);
        u128::from(length) | u128::from(prefix) << 32 | u128::from(offset) << 96
    }

    /// A random piece of the pool.
    #[inline]
    pub(super) fn cut(&self, length: u64, random: &mut Random) -> u128 {
        let offset = random.below(POOL - length);
        self.view(offset, length)
    }
}

/// The view of `bytes[offset..offset + length]` in an array whose only buffer is `bytes`.
#[inline]
pub(super) fn view_into(bytes: &[u8], offset: usize, length: usize) -> u128 {
    let text = &bytes[offset..offset + length];
    if length <= 12 {
        return inline_view(text);
    }
    let prefix = u32::from_le_bytes([text[0], text[1], text[2], text[3]]);
    ByteView { length: length as u32, prefix, buffer_index: 0, offset: offset as u32 }.as_u128()
}

/// The view of at most 12 bytes, held in the view itself.
#[inline]
pub(super) fn inline_view(text: &[u8]) -> u128 {
    let mut raw = [0_u8; 16];
    raw[0] = text.len() as u8;
    raw[4..4 + text.len()].copy_from_slice(text);
    u128::from_le_bytes(raw)
}

fn random_text(seed: u64, blanks: bool) -> Text {
    let mut random = Random::of_pool(seed);
    let bytes: Vec<u8> = (0..POOL)
        .map(|_| {
            let r = random.next() >> 1;
            if blanks && r.is_multiple_of(13) { b' ' } else { b'a' + ((r >> 8) % 26) as u8 }
        })
        .collect();
    Text { buffer: Buffer::from_vec(bytes) }
}

/// a-z.
pub(super) static LETTERS: LazyLock<Text> = LazyLock::new(|| random_text(1, false));
/// a-z with a blank one time in 13.
pub(super) static WORDS: LazyLock<Text> = LazyLock::new(|| random_text(2, true));

/// The two views of one channel, in one cache line.
#[repr(align(32))]
pub(super) struct Channel {
    pub(super) channel: u128,
    pub(super) url: u128,
}

/// Channels and URLs of bids: views ready to be put into a column.
pub(super) struct Channels {
    /// The four hot ones first.
    pub(super) views: Vec<Channel>,
    /// The buffer that the URL views point into.
    pub(super) urls: Buffer,
    /// The buffer that the channel views point into (the longer names do not fit a view).
    pub(super) channels: Buffer,
}

pub(super) static BID_CHANNELS: LazyLock<Channels> = LazyLock::new(|| {
    let mut random = Random(3);
    let mut urls = Vec::new();
    let mut channels = Vec::new();
    let mut url_ranges = Vec::with_capacity(CHANNELS + 4);
    let mut add_url = |random: &mut Random, id: Option<u32>| {
        let start = urls.len();
        urls.extend_from_slice(b"https://shop.example.com/");
        for part in 0..3 {
            if part > 0 {
                urls.push(b'/');
            }
            let offset = random.below(POOL - 4) as usize;
            urls.extend_from_slice(&LETTERS.buffer.as_slice()[offset..offset + 4]);
        }
        urls.extend_from_slice(b"/item.htm?query=1");
        if let Some(id) = id.filter(|_| random.below(10) > 0) {
            urls.extend_from_slice(format!("&channel_id={id}").as_bytes());
        }
        url_ranges.push((start, urls.len() - start));
    };
    for _ in 0..4 {
        add_url(&mut random, None);
    }
    for i in 0..CHANNELS as u32 {
        add_url(&mut random, Some(i.reverse_bits() & 0x7fff_ffff));
    }
    let mut channel_ranges = Vec::with_capacity(CHANNELS);
    for i in 0..CHANNELS {
        let start = channels.len();
        channels.extend_from_slice(format!("channel-{i}").as_bytes());
        channel_ranges.push((start, channels.len() - start));
    }
    let urls_of = url_ranges.iter().map(|&(o, l)| view_into(&urls, o, l));
    let cold = channel_ranges.iter().map(|&(o, l)| view_into(&channels, o, l));
    let names = HOT.iter().map(|h| inline_view(h.as_bytes())).chain(cold);
    let views = names.zip(urls_of).map(|(channel, url)| Channel { channel, url }).collect();
    Channels { views, urls: Buffer::from_vec(urls), channels: Buffer::from_vec(channels) }
});
