SELECT
SELECT 1
SELECT -1, - 1.5, 1e10, 99999999999, 'it''s', E'a\\b\n', NULL, TRUE, false, $1, $2::int
SELECT a, t.b AS "B", s.t.c, t.*, * FROM s.t
SELECT 1 + 2 * 3 - -4 / 5 % 6 ^ 7, -a, + a, ~ b, a || b, (a - b) - c, a - (b - c)
SELECT a AND b AND c OR NOT d AND (e OR f), NOT NOT a
SELECT a = 1, a <> 2, a != 3, a < 4, a <= 5, a > 6, a >= 7, (1, 2) = (3, 4), ROW(1) < ROW(2)
SELECT a IS NULL, b IS NOT NULL, c IS TRUE, d IS NOT FALSE, e IS UNKNOWN, f IS NOT UNKNOWN, g ISNULL, h NOTNULL
SELECT a IS DISTINCT FROM b, a IS NOT DISTINCT FROM NULL
SELECT a BETWEEN 1 AND 2, b NOT BETWEEN SYMMETRIC 4 AND 3
SELECT a LIKE 'x%', a NOT LIKE '_y', a ILIKE 'Z', a NOT ILIKE b, a LIKE 'c!%' ESCAPE '!', a ~ 'b', a !~* 'c'
SELECT a IN (1, 2, 3), a NOT IN (4), (a, b) IN ((1, 2), (3, 4))
SELECT a IN (SELECT b FROM t), a NOT IN (SELECT b FROM t), (a, b) IN (SELECT 1, 2), NOT (a IN (SELECT 1))
SELECT EXISTS (SELECT 1), NOT EXISTS (SELECT 1 FROM t), (SELECT 1), ARRAY(SELECT 1)
SELECT a = ANY (SELECT 1), a <> ALL (SELECT 2), a < SOME (ARRAY[1, 2]), a = ANY ($1)
SELECT CASE WHEN a THEN 1 WHEN b THEN 2 ELSE 3 END, CASE a WHEN 1 THEN 'x' END
SELECT coalesce(a, b, 1), nullif(a, 2), greatest(1, 2), least(a, b), "exists"(1)
SELECT count(*), count(a), count(DISTINCT a), sum(a) FILTER (WHERE b > 1), string_agg(a, ',' ORDER BY b DESC, c NULLS FIRST), f()
SELECT extract(year FROM a), substring(a FROM 1 FOR 2), substring(a, 1), position('a' IN b), trim(both 'x' FROM a), trim(a), a AT TIME ZONE 'UTC', overlay(a placing b from 1)
SELECT current_timestamp, current_date, localtimestamp, now()
SELECT a::int4, CAST(a AS numeric(10, 2)), a::varchar(5), a::text[], a::timestamp with time zone, a::double precision, a::char, a::char(3), a::timestamp(3), 'x'::json, a::int[]
SELECT date '2020-01-01', timestamp '2020-01-01', timestamptz '2020-01-01', interval '1 day', interval '1' day, interval '1' day to second(3), interval(3) '1 hour', numeric '1.50', jsonb '{}'
SELECT ARRAY[1, 2, 3], ARRAY[]::int[], a[1], (ARRAY[1, 2])[$1 + 1], a[1][2]
SELECT a -> 'b', a ->> 'c', a #> '{d,e}', a #>> '{f}', a -> 1, a @> b, a ? 'x'
SELECT 'x' COLLATE "C"
SELECT DISTINCT a, b FROM t
SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC NULLS LAST
SELECT a, count(*) FROM t WHERE b > 1 GROUP BY a, b + 1 HAVING count(*) > 2 ORDER BY 2 DESC, a ASC NULLS FIRST LIMIT 10 OFFSET 5
SELECT * FROM a, b AS x, c.d AS y (p, q), (SELECT 1) AS z, LATERAL (SELECT x.b) AS w, (VALUES (1, 'a'), (2, 'b')) AS v (n, s)
SELECT * FROM a JOIN b ON a.x = b.x LEFT JOIN c USING (y, z) RIGHT JOIN d ON true FULL OUTER JOIN e ON e.a = d.a CROSS JOIN f NATURAL JOIN g NATURAL LEFT JOIN h
SELECT * FROM a JOIN (b JOIN c ON b.y = c.y) ON a.x = b.x
SELECT * FROM generate_series(1, 10) AS g (n), unnest(ARRAY[1, 2]) WITH ORDINALITY AS u (x, i), LATERAL f(g.n)
SELECT * FROM tumble(orders, ts, interval '10 minutes') GROUP BY window_start
VALUES (1, 2), (3, 4) ORDER BY 1 LIMIT 1
SELECT 1 UNION SELECT 2 UNION ALL SELECT 3 INTERSECT SELECT 4 EXCEPT ALL SELECT 5 ORDER BY 1
(SELECT 1 ORDER BY 1 LIMIT 1) UNION ALL (SELECT 2 LIMIT 2 OFFSET 1)
SELECT 1 LIMIT ALL
SELECT a FROM t FETCH FIRST 3 ROWS ONLY
WITH a AS (SELECT 1), b (x, y) AS (SELECT * FROM a) SELECT * FROM b
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT * FROM r
SELECT * FROM (WITH q AS (SELECT 1 AS a) SELECT a FROM q) AS s
SELECT row_number() OVER (), rank() OVER (PARTITION BY a ORDER BY b DESC), sum(x) OVER w, sum(x) OVER (w ROWS 2 PRECEDING), lag(a, 1) OVER (ORDER BY b) FROM t WINDOW w AS (PARTITION BY a ORDER BY b), v AS (w)
SELECT sum(x) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW), sum(x) OVER (ORDER BY a RANGE BETWEEN interval '1 day' PRECEDING AND CURRENT ROW), sum(x) OVER (ORDER BY a GROUPS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE TIES), max(x) OVER (ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE GROUP), min(x) OVER (ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING)
EXPLAIN SELECT 1
EXPLAIN ANALYZE SELECT a FROM t
EXPLAIN (ANALYZE) SELECT 1
EXPLAIN (ANALYZE false) SELECT 1
SELECT * FROM projections.v FOR TIMESTAMP AS OF '2026-01-01 00:00:00' WHERE a = 1
SELECT * FROM v FOR TIMESTAMP AS OF timestamp '2026-01-01' AS x JOIN w FOR SYSTEM_TIME AS OF $1 y ON x.a = y.a
SELECT * FROM v FOR SYSTEM_TIME AS OF (now() - interval '1 hour') AS x (p, q), w z FOR TIMESTAMP AS OF now()
SELECT * FROM v FOR TIMESTAMP AS OF timestamp with time zone '2026-01-01 00:00:00+00' LIMIT 1
SELECT (SELECT max(a) FROM v FOR TIMESTAMP AS OF '2026-01-01'::timestamptz) FROM w
SELECT * FROM v FOR SYSTEM_TIME AS OF current_timestamp ORDER BY a
SELECT event, type, subscribe, projection, personal, system_time FROM t
SUBSCRIBE TO projections.v WHERE a = 'x' AND b > 3
SUBSCRIBE TO v
subscribe to v as x where x.a is not null
EXPLAIN SUBSCRIBE TO v WHERE a = 1
CREATE EVENT TYPE cart.item_added (sku text, quantity int4 NOT NULL, price numeric(10, 2), note text PERSONAL, at timestamptz, personal bool)
CREATE EVENT TYPE IF NOT EXISTS e (a text PERSONAL NOT NULL)
CREATE EVENT TYPE e ()
CREATE PROJECTION projections.totals AS SELECT sku, sum(quantity) AS n FROM cart.item_added GROUP BY sku
CREATE PROJECTION IF NOT EXISTS p (a, b) WITH (correction_window = '1 hour', keep = 3) AS SELECT 1, 2
EXPLAIN CREATE PROJECTION p AS SELECT 1
DROP EVENT TYPE cart.item_added, e
DROP PROJECTION IF EXISTS projections.totals CASCADE
CREATE TABLE t (a int PRIMARY KEY, b text NOT NULL, c varchar(8) NULL, d int UNIQUE)
CREATE TABLE IF NOT EXISTS s.t (a int, b int, PRIMARY KEY (a, b))
INSERT INTO t VALUES (1, 2), (3, NULL)
INSERT INTO t (a, b) SELECT x, y FROM u
SELECT "select", "A b", "q""uote", é, "Ünï" FROM "from"
SELECT /* comment */ 1 -- and another
CALL send('a/b', 'c', $1, 7)
