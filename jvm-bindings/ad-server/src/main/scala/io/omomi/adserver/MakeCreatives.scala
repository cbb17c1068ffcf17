package io.omomi.adserver

import java.nio.file.Paths

import scala.util.Random

/** Makes up a file of creatives in the words of the logs of `omomi generate-log`: `MakeCreatives FILE [COUNT [SEED]]`.
  */
object MakeCreatives {
  private val categories = ("ゲーム 化粧品 健康食品 金融 旅行 不動産 自動車 通信 人材 教育 アパレル 食品 飲料 家電 書籍 動画配信 音楽配信 漫画アプリ " +
    "マッチング 保険 証券 銀行 クレジットカード 通販 百貨店 スーパー 外食 医薬品 美容医療 フィットネス 住宅設備 家具 引越し 電力 官公庁 スポーツ " +
    "イベント ペット用品 ベビー用品 法人向け").split(' ').toVector
  private val formats = Vector("banner", "native", "video", "carousel", "text", "rich media")
  private val themes = "値引き 新商品 限定 体験談 比較 無料 ランキング 季節 有名人 ブランド".split(' ').toVector
  private val landings = "商品ページ アプリストア 記事 登録フォーム アンケート 店舗案内".split(' ').toVector
  private val sizes =
    "300x250 320x100 320x50 728x90 160x600 336x280 300x600 970x250 480x320 640x360".split(' ').toVector

  def creatives(count: Int, seed: Long, nowUnixMillis: Long): Iterator[Creative] = Iterator.tabulate(count) { id =>
    val campaign = id / 3
    val ofCampaign = new Random(seed * 31 + campaign)
    val advertiser = (math.pow(ofCampaign.nextDouble(), 3) * 506).toInt
    val category = categories(new Random(seed * 37 + advertiser).nextInt(categories.length))
    val landing = Some(one(landings, ofCampaign)).filter(_ => ofCampaign.nextDouble() > 0.08)
    val random = new Random(seed * 41 + id)
    val format = formats(math.min(random.nextInt(12), random.nextInt(12)) / 2)
    Creative(
      id = id.toLong,
      campaignId = campaign.toLong,
      advertiserId = advertiser.toLong,
      category = category,
      format = format,
      theme = Some(one(themes, random)).filter(_ => random.nextDouble() > 0.45),
      landing = landing,
      bornUnixMillis = nowUnixMillis - (random.nextDouble() * 60 * 24 * 3600000).toLong,
      sizes = if (format == "banner" || format == "rich media") random.shuffle(sizes).take(1 + random.nextInt(4)).toList
        else Nil,
      // A lognormal price around 30 units for a click.
      cpcMicros = math.max(1L, (30e6 * math.exp(0.6 * random.nextGaussian())).toLong),
      observedCtr = math.min(0.5, 0.08 * math.exp(0.5 * random.nextGaussian())).toFloat,
      devices = if (random.nextInt(5) == 0) List(one(Words.devices.take(3), random)) else Nil,
      regions = if (random.nextInt(10) == 0) random.shuffle(Words.regions).take(8).toList else Nil,
      domain = s"advertiser-$advertiser.example",
      url = s"https://advertiser-$advertiser.example/campaigns/$campaign")
  }

  private def one(texts: IndexedSeq[String], random: Random): String = texts(random.nextInt(texts.length))

  def main(arguments: Array[String]): Unit = arguments.toList match {
    case file :: rest if rest.length <= 2 && rest.forall(_.toIntOption.exists(_ > 0)) =>
      val count = rest.headOption.fold(50000)(_.toInt)
      val seed = rest.lift(1).fold(1L)(_.toLong)
      Creative.write(creatives(count, seed, System.currentTimeMillis()), Paths.get(file))
    case _ =>
      Console.err.println("usage: MakeCreatives FILE [COUNT [SEED]]")
      sys.exit(2)
  }
}
