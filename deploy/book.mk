# The operators' book. Included by the Makefile; what it says is checked by `make test` (tests/tests/book.rs).
.PHONY: book book-verdicts

book: ## Make the operators' book as web pages, in target/book (builds mdbook first, where it is missing)
	deploy/setup book
	mdbook build docs/book

book-verdicts: ## Bring the book's chapter on verdicts up to date with the code
	CAUSEWAY_BOOK=write $(CARGO) nextest run -p causeway-tests --test book -E 'test(chapter_on_verdicts)'

.PHONY: book-metrics
book-metrics: ## Bring the book's chapter on metrics up to date with both services
	CAUSEWAY_BOOK=write $(CARGO) nextest run -p causeway-tests --test whole_road -E 'test(chapter_on_metrics)'
