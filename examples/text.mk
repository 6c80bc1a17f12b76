# Examples that read text. What programs say in other languages lies in packages, which
# are fetched at these versions, read, and not installed: 310 MB.
INTO       ?= fr
CATALOGUES := apache-superset==6.1.0 ckan==2.12.0 django==5.2.19 django-oscar==4.2.1 \
  indico==3.2.9 mayan-edms==4.12.2 plone.app.locales==7.0.4 pretix==2026.8.0 \
  spyder==6.1.8 wagtail==8.0.1 weblate==5.14.3 \
  $(foreach pack,de-DE es-ES fr-FR,jupyterlab-language-pack-$(pack)==4.5.post3)

.PHONY: catalogues translate

runs/catalogues/stamp: examples/text.mk | $(BIN)/python
	rm -rf $(@D)
	$(PIP) download --no-deps --only-binary :all: --dest $(@D) $(CATALOGUES)
	@touch $@

catalogues: $(VENV)/stamp-demo runs/catalogues/stamp   ## fetch sentences in two languages, and count them
	$(BIN)/python examples/catalogues.py --language $(INTO)

# A run that was stopped goes on.
translate: $(VENV)/stamp-demo runs/catalogues/stamp   ## train a translator on them for 36 minutes, and judge it
	$(BIN)/python examples/translate.py --language $(INTO) --out runs/translate-$(INTO) --resume
