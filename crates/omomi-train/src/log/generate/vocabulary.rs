//! The texts of generated logs. Logs of a given seed depend on the order of the texts: if one text moves, old logs
//! cannot be generated again.

pub(super) const DEVICES: &[&str] = &["smartphone", "pc", "tablet", "tv", "game console"];

pub(super) const OSES: &[&str] =
    &["iOS", "Android", "Windows", "macOS", "ChromeOS", "Linux", "iPadOS", "Fire OS", "tvOS", "Switch", "PlayStation"];

/// The operating systems of each of the [`DEVICES`], as indices into [`OSES`], the most likely first.
pub(super) const OSES_OF_DEVICE: [&[u8]; 5] = [&[0, 1], &[2, 3, 4, 5], &[6, 1, 7, 2], &[1, 8, 7], &[10, 9]];

/// The prefectures of Japan, roughly in order of population.
pub(super) const REGIONS: &[&str] = &[
    "東京都",
    "神奈川県",
    "大阪府",
    "愛知県",
    "埼玉県",
    "千葉県",
    "兵庫県",
    "福岡県",
    "北海道",
    "静岡県",
    "茨城県",
    "広島県",
    "京都府",
    "宮城県",
    "新潟県",
    "長野県",
    "岐阜県",
    "群馬県",
    "栃木県",
    "岡山県",
    "福島県",
    "三重県",
    "熊本県",
    "鹿児島県",
    "沖縄県",
    "滋賀県",
    "山口県",
    "奈良県",
    "愛媛県",
    "長崎県",
    "青森県",
    "岩手県",
    "石川県",
    "大分県",
    "宮崎県",
    "山形県",
    "富山県",
    "秋田県",
    "香川県",
    "和歌山県",
    "山梨県",
    "佐賀県",
    "福井県",
    "徳島県",
    "高知県",
    "島根県",
    "鳥取県",
];

pub(super) const SEGMENTS: &[&str] = &[
    "若年単身",
    "共働き",
    "子育て",
    "学生",
    "シニア",
    "会社員",
    "経営者",
    "主婦・主夫",
    "旅行好き",
    "節約志向",
    "車好き",
    "美容関心",
];

pub(super) const INTERESTS: &[&str] = &[
    "ニュース",
    "天気",
    "グルメ",
    "旅行",
    "映画",
    "音楽",
    "アニメ",
    "漫画",
    "ゲーム",
    "野球",
    "サッカー",
    "ゴルフ",
    "テニス",
    "相撲",
    "格闘技",
    "ランニング",
    "登山",
    "釣り",
    "キャンプ",
    "自転車",
    "自動車",
    "バイク",
    "鉄道",
    "航空",
    "写真",
    "カメラ",
    "パソコン",
    "スマートフォン",
    "家電",
    "オーディオ",
    "プログラミング",
    "科学",
    "歴史",
    "読書",
    "文学",
    "語学",
    "資格",
    "就職",
    "転職",
    "起業",
    "投資",
    "株式",
    "保険",
    "住宅",
    "不動産",
    "リフォーム",
    "園芸",
    "料理",
    "お菓子",
    "ワイン",
    "日本酒",
    "コーヒー",
    "ファッション",
    "コスメ",
    "ヘアスタイル",
    "ダイエット",
    "健康",
    "医療",
    "育児",
    "教育",
    "ペット",
    "結婚",
    "占い",
    "手芸",
    "温泉",
    "美術",
];

pub(super) const SLOTS: &[&str] =
    &["header", "sidebar", "in-article", "footer", "feed", "interstitial", "overlay", "video player"];

pub(super) const SIZES: &[&str] =
    &["300x250", "320x100", "320x50", "728x90", "160x600", "336x280", "300x600", "970x250", "480x320", "640x360"];

pub(super) const EXCHANGES: &[&str] = &["north", "east", "south", "west", "harbour", "direct", "private deal"];

pub(super) const CATEGORIES: &[&str] = &[
    "ゲーム",
    "化粧品",
    "健康食品",
    "金融",
    "旅行",
    "不動産",
    "自動車",
    "通信",
    "人材",
    "教育",
    "アパレル",
    "食品",
    "飲料",
    "家電",
    "書籍",
    "動画配信",
    "音楽配信",
    "漫画アプリ",
    "マッチング",
    "保険",
    "証券",
    "銀行",
    "クレジットカード",
    "通販",
    "百貨店",
    "スーパー",
    "外食",
    "医薬品",
    "美容医療",
    "フィットネス",
    "住宅設備",
    "家具",
    "引越し",
    "電力",
    "官公庁",
    "スポーツ",
    "イベント",
    "ペット用品",
    "ベビー用品",
    "法人向け",
];

pub(super) const FORMATS: &[&str] = &["banner", "native", "video", "carousel", "text", "rich media"];

pub(super) const THEMES: &[&str] =
    &["値引き", "新商品", "限定", "体験談", "比較", "無料", "ランキング", "季節", "有名人", "ブランド"];

pub(super) const LANDINGS: &[&str] = &["商品ページ", "アプリストア", "記事", "登録フォーム", "アンケート", "店舗案内"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_text_is_repeated_and_the_lists_have_the_documented_sizes() {
        let lists = [
            (DEVICES, 5),
            (OSES, 11),
            (REGIONS, 47),
            (SEGMENTS, 12),
            (INTERESTS, 66),
            (SLOTS, 8),
            (SIZES, 10),
            (EXCHANGES, 7),
            (CATEGORIES, 40),
            (FORMATS, 6),
            (THEMES, 10),
            (LANDINGS, 6),
        ];
        for (list, count) in lists {
            assert_eq!(list.len(), count, "{list:?}");
            assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), count, "a text twice in {list:?}");
        }
        assert_eq!(OSES_OF_DEVICE.len(), DEVICES.len());
        assert!(OSES_OF_DEVICE.iter().all(|oses| oses.iter().all(|&os| usize::from(os) < OSES.len())));
    }
}
