-- Pages of a domain come in the order of the index: none sorts all pairs of the domain to return a few of them.
DROP INDEX pair_domain;
CREATE INDEX pair_domain ON pair (remote_domain, local, remote);
