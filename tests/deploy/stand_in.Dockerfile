# In TF Serving's place where its image cannot be had; the context is tests/.
FROM holofoil-training:local
COPY fakes /opt/stand-in/tests/fakes
COPY deploy/tensorflow_model_server.py deploy/tfserving_flags.txt /opt/stand-in/
USER 0
RUN install --mode=755 /opt/stand-in/tensorflow_model_server.py /usr/bin/tensorflow_model_server
USER 10001:10001
