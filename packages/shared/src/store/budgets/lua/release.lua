#!lua flags=allow-oom
-- Removes the reservation of a request that was not created.
-- KEYS totals, reservations
-- ARGV id
--- @include "give-back"
local totals, reservations = KEYS[1], KEYS[2]
giveBack(totals, reservations, ARGV[1])
