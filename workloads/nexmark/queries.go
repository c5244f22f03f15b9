package nexmark

// Schema are the statements that make the events tables.
var Schema = []string{
	`CREATE EVENT TYPE person.registered (id int8 NOT NULL, name text NOT NULL, email text, credit_card text, city text, state text, extra text)`,
	`CREATE EVENT TYPE auction.opened (id int8 NOT NULL, item text NOT NULL, description text, initial_bid int8 NOT NULL, reserve int8 NOT NULL,
	 expires timestamptz NOT NULL, seller int8 NOT NULL, category int8 NOT NULL, extra text)`,
	`CREATE EVENT TYPE auction.bid (auction int8 NOT NULL, bidder int8 NOT NULL, price int8 NOT NULL, channel text NOT NULL, url text NOT NULL, extra text)`,
}

// A Query is one of the benchmark's.
type Query struct {
	Name string
	Says string
	SQL  string
	// Differs tells where the text is not the suite's, but for the names of tables.
	Differs string
}

const winning = `SELECT a.id, a.category, a.seller, a.expires, b.price,
	row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.event_time) AS place
	FROM auction.opened a JOIN auction.bid b ON a.id = b.auction WHERE b.event_time BETWEEN a.event_time AND a.expires`

const hotItems = `SELECT auction, count(*) AS num, window_start, window_end
	FROM hop(auction.bid, event_time, interval '2 seconds', interval '10 seconds') GROUP BY auction, window_start, window_end`

// Queries are q0 to q22.
var Queries = []Query{
	{"q0", "pass through", `SELECT auction, bidder, price, event_time, extra FROM auction.bid`, ""},
	{"q1", "currency conversion", `SELECT auction, bidder, 0.908 * price AS price, event_time, extra FROM auction.bid`, ""},
	{"q2", "selection", `SELECT auction, price FROM auction.bid WHERE mod(auction, 123) = 0`, ""},
	{"q3", "local items: a join", `SELECT p.name, p.city, p.state, a.id FROM auction.opened a JOIN person.registered p ON a.seller = p.id
		WHERE a.category = 10 AND (p.state = 'OR' OR p.state = 'ID' OR p.state = 'CA')`, ""},
	{"q4", "average price of a category", `SELECT q.category, avg(q.final) FROM (
		SELECT max(b.price) AS final, a.category FROM auction.opened a JOIN auction.bid b ON a.id = b.auction
		WHERE b.event_time BETWEEN a.event_time AND a.expires GROUP BY a.id, a.category) q GROUP BY q.category`, ""},
	{"q5", "hot items of a sliding window", `SELECT n.auction, n.num FROM (` + hotItems + `) n JOIN (
		SELECT max(c.num) AS most, c.window_start, c.window_end FROM (` + hotItems + `) c GROUP BY c.window_start, c.window_end) m
		ON n.window_start = m.window_start AND n.window_end = m.window_end AND n.num >= m.most`, ""},
	{"q6", "average selling price of a seller's last ten auctions", `SELECT w.seller, w.id, avg(w.price) OVER (
		PARTITION BY w.seller ORDER BY w.expires, w.id ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) FROM (` + winning + `) w WHERE w.place = 1`,
		"the auction's number ends ties; the suite's engine cannot run this one"},
	{"q7", "highest bid of a window", `SELECT b.auction, b.price, b.bidder, b.event_time, b.extra FROM auction.bid b JOIN (
		SELECT max(price) AS most, window_start, window_end FROM tumble(auction.bid, event_time, interval '10 seconds') GROUP BY window_start, window_end) m
		ON b.price = m.most WHERE b.event_time >= m.window_start AND b.event_time < m.window_end`, "a window does not hold its end"},
	{"q8", "new users who sell", `SELECT p.id, p.name, p.window_start FROM (
		SELECT id, name, window_start, window_end FROM tumble(person.registered, event_time, interval '10 seconds') GROUP BY id, name, window_start, window_end) p
		JOIN (SELECT seller, window_start, window_end FROM tumble(auction.opened, event_time, interval '10 seconds') GROUP BY seller, window_start, window_end) a
		ON p.id = a.seller AND p.window_start = a.window_start AND p.window_end = a.window_end`, ""},
	{"q9", "winning bids", `SELECT id, category, seller, expires, price FROM (` + winning + `) w WHERE place = 1`, "fewer columns"},
	{"q10", "log with partition columns", `SELECT auction, bidder, price, event_time, extra, CAST(event_time AT TIME ZONE 'UTC' AS date) AS dt,
		lpad(CAST(extract(hour FROM event_time) AS text), 2, '0') || ':' || lpad(CAST(extract(minute FROM event_time) AS text), 2, '0') AS hm FROM auction.bid`,
		"a subscription takes the place of the file sink"},
	{"q11", "sessions of a user", `SELECT bidder, count(*) AS bids, window_start, window_end FROM session(auction.bid, event_time, interval '10 seconds', bidder)
		GROUP BY bidder, window_start, window_end`, ""},
	{"q12", "windows of processing time", `SELECT bidder, count(*) AS bids, window_start, window_end FROM tumble(auction.bid, commit_time, interval '10 seconds')
		GROUP BY bidder, window_start, window_end`, "commit_time is when an event was processed: recorded, so that it can be repeated"},
	{"q13", "join with a bounded side input", `SELECT b.auction, b.bidder, b.price, b.event_time, s.value FROM auction.bid b
		JOIN (SELECT k AS key, 'value-' || CAST(k AS text) AS value FROM generate_series(0, 999) AS g(k)) s ON mod(b.auction, 1000) = s.key`,
		"the side input is a series of 1,000, not a file of 10,000"},
	{"q14", "calculation", `SELECT auction, bidder, 0.908 * price AS price, CASE
		WHEN extract(hour FROM event_time) >= 8 AND extract(hour FROM event_time) <= 18 THEN 'dayTime'
		WHEN extract(hour FROM event_time) <= 6 OR extract(hour FROM event_time) >= 20 THEN 'nightTime' ELSE 'otherTime' END AS bid_time_type,
		event_time, extra, length(extra) - length(replace(extra, 'c', '')) AS c_counts
		FROM auction.bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000`, "letters are counted by replace, not by a function of the user's"},
	{"q15", "bidding statistics of a day", `SELECT CAST(event_time AT TIME ZONE 'UTC' AS date) AS day, count(*) AS total_bids, ` + ranks("*") + `, ` + distinct("bidder") + `, ` + distinct("auction") + `
		FROM auction.bid GROUP BY CAST(event_time AT TIME ZONE 'UTC' AS date)`, ""},
	{"q16", "statistics of a channel", `SELECT channel, CAST(event_time AT TIME ZONE 'UTC' AS date) AS day, max(date_trunc('minute', event_time)) AS minute, count(*) AS total_bids, ` +
		ranks("*") + `, ` + distinct("bidder") + `, ` + distinct("auction") + ` FROM auction.bid GROUP BY channel, CAST(event_time AT TIME ZONE 'UTC' AS date)`, ""},
	{"q17", "statistics of an auction", `SELECT auction, CAST(event_time AT TIME ZONE 'UTC' AS date) AS day, count(*) AS total_bids, ` + ranks("*") + `,
		min(price) AS min_price, max(price) AS max_price, avg(price) AS avg_price, sum(price) AS sum_price
		FROM auction.bid GROUP BY auction, CAST(event_time AT TIME ZONE 'UTC' AS date)`, ""},
	{"q18", "last bid of each bidder for an auction", `SELECT auction, bidder, price, channel, url, event_time, extra FROM (
		SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY event_time DESC) AS place FROM auction.bid) b WHERE place <= 1`, ""},
	{"q19", "ten highest bids of an auction", `SELECT auction, bidder, price, event_time, place FROM (
		SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC) AS place FROM auction.bid) b WHERE place <= 10`, "fewer columns"},
	{"q20", "bids with their auctions", `SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.event_time, b.extra, a.item, a.description, a.initial_bid, a.reserve,
		a.event_time AS opened, a.expires, a.seller, a.category, a.extra AS more FROM auction.bid b JOIN auction.opened a ON b.auction = a.id WHERE a.category = 10`, ""},
	{"q21", "number of a channel", `SELECT auction, bidder, price, channel, CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
		ELSE split_part(split_part(url, 'channel_id=', 2), '&', 1) END AS channel_id
		FROM auction.bid WHERE url ~ '(&|^)channel_id=([^&]*)' OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')`, "what the pattern finds is cut out by split_part"},
	{"q22", "directories of a URL", `SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2, split_part(url, '/', 6) AS dir3 FROM auction.bid`, ""},
}

// ranks counts bids by how high they are.
func ranks(what string) string {
	return `count(` + what + `) FILTER (WHERE price < 10000) AS rank1_bids, count(` + what + `) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
		count(` + what + `) FILTER (WHERE price >= 1000000) AS rank3_bids`
}

// distinct counts who, or what, is in each of the ranks.
func distinct(column string) string {
	return `count(DISTINCT ` + column + `) AS total_` + column + `s, count(DISTINCT ` + column + `) FILTER (WHERE price < 10000) AS rank1_` + column + `s,
		count(DISTINCT ` + column + `) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_` + column + `s,
		count(DISTINCT ` + column + `) FILTER (WHERE price >= 1000000) AS rank3_` + column + `s`
}
