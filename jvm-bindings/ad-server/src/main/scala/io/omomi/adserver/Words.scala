package io.omomi.adserver

/** What OpenRTB says about a device, in the words of the contract. */
object Words {
  /** Kinds of device, by the list of AdCOM 1.0. */
  def device(devicetype: Int): Option[String] = devicetype match {
    case 1 | 4 => Some("smartphone")
    case 2 => Some("pc")
    case 3 | 7 => Some("tv")
    case 5 => Some("tablet")
    case 6 => Some("game console")
    case _ => None
  }

  val devices: IndexedSeq[String] = Vector("smartphone", "pc", "tablet", "tv", "game console")

  /** The prefectures of Japan in the order of JIS X 0401, which ISO 3166-2 uses: 東京都 is JP-13. */
  val regions: IndexedSeq[String] = ("北海道 青森県 岩手県 宮城県 秋田県 山形県 福島県 茨城県 栃木県 群馬県 埼玉県 千葉県 東京都 神奈川県 " +
    "新潟県 富山県 石川県 福井県 山梨県 長野県 岐阜県 静岡県 愛知県 三重県 滋賀県 京都府 大阪府 兵庫県 奈良県 和歌山県 鳥取県 島根県 " +
    "岡山県 広島県 山口県 徳島県 香川県 愛媛県 高知県 福岡県 佐賀県 長崎県 熊本県 大分県 宮崎県 鹿児島県 沖縄県").split(' ').toVector

  /** The prefecture of a region of ISO 3166-2, with or without the country in front. */
  def region(code: String): Option[String] =
    code.stripPrefix("JP-").toIntOption.flatMap(number => regions.lift(number - 1))
}
